package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"syscall"
)

// ready is the content of the ready file.
type ready struct {
	Address  string `json:"address"`  // host:port as bound
	Endpoint string `json:"endpoint"` // the same as a URL
	PID      int    `json:"pid"`
}

// announce writes the ready file. versitygw binds for itself and does not say
// where, so the address is read from the one listening socket that this process
// has now and did not have before.
func announce(cfg config, before map[int]string, stderr io.Writer) error {
	now, err := listeningSockets()
	if err != nil {
		return err
	}
	var addr string
	for fd, a := range now {
		if before[fd] != a {
			addr = a
		}
	}
	if addr == "" {
		return fmt.Errorf("no listening socket found after binding %s", cfg.listen)
	}
	r := ready{Address: addr, Endpoint: "http://" + addr, PID: os.Getpid()}
	fmt.Fprintf(stderr, "devs3: serving %s on %s\n", cfg.data, r.Endpoint)
	if cfg.readyFile == "" {
		return nil
	}
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return writeAtomic(cfg.readyFile, append(b, '\n'))
}

// listeningSockets maps each descriptor of this process that is a listening IP
// socket to its address.
func listeningSockets() (map[int]string, error) {
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		return nil, fmt.Errorf("list own descriptors: %w", err)
	}
	found := map[int]string{}
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if on, err := syscall.GetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_ACCEPTCONN); err != nil || on == 0 {
			continue
		}
		sa, err := syscall.Getsockname(fd)
		if err != nil {
			continue
		}
		switch sa := sa.(type) {
		case *syscall.SockaddrInet4:
			found[fd] = net.JoinHostPort(net.IP(sa.Addr[:]).String(), strconv.Itoa(sa.Port))
		case *syscall.SockaddrInet6:
			found[fd] = net.JoinHostPort(net.IP(sa.Addr[:]).String(), strconv.Itoa(sa.Port))
		}
	}
	return found, nil
}
