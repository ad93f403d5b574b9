package wasip1

// Guests get no sockets in preview 1: outbound requests go through wasi:http,
// where a policy sees them. These calls say so of every descriptor.

func (s *System) notSocket(fd uint64) errno {
	if _, e := s.fd(fd); e != errSuccess {
		return e
	}
	return errNotsock
}

func (s *System) sockAccept(p []uint64) errno   { return s.notSocket(p[0]) }
func (s *System) sockRecv(p []uint64) errno     { return s.notSocket(p[0]) }
func (s *System) sockSend(p []uint64) errno     { return s.notSocket(p[0]) }
func (s *System) sockShutdown(p []uint64) errno { return s.notSocket(p[0]) }
