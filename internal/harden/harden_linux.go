package harden

import (
	"errors"
	"fmt"
	"os"

	"github.com/landlock-lsm/go-landlock/landlock"
	llsys "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
)

func process() (r Report) {
	// Threads that exist have no_new_privs each of their own; new ones inherit.
	r.note("no_new_privs", llsys.AllThreadsPrctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
	// Memory holds secrets of jobs and the worker's credentials.
	err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{})
	r.note("no core dumps", errors.Join(err, unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0)))
	unix.Umask(0o077)
	r.note("umask 077", nil)
	r.note("descriptors", raiseDescriptors())
	return r
}

// raiseDescriptors takes as many open files as the system grants.
func raiseDescriptors() error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	return unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)
}

// minimumABI is the first Landlock that also covers truncating files (Linux
// 6.2). With less, a file outside could still be emptied.
const minimumABI = 3

func landlockSupport() error {
	abi, err := llsys.LandlockGetABIVersion()
	switch {
	case errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EOPNOTSUPP):
		return errors.New("this kernel has it not, or has it turned off")
	case err != nil:
		return err
	case abi < minimumABI:
		return fmt.Errorf("this kernel has version %d, without truncation; %d is wanted", abi, minimumABI)
	}
	return nil
}

// Rights below a directory. Executing is in none of them, nor are devices,
// sockets and pipes.
const (
	readFile  = llsys.AccessFSReadFile
	readDir   = readFile | llsys.AccessFSReadDir
	writeFile = readFile | llsys.AccessFSWriteFile | llsys.AccessFSTruncate
	writeDir  = readDir | writeFile | llsys.AccessFSRemoveDir | llsys.AccessFSRemoveFile |
		llsys.AccessFSMakeDir | llsys.AccessFSMakeReg | llsys.AccessFSMakeSym | llsys.AccessFSRefer
)

func confine(p Paths) (r Report) {
	if err := landlockSupport(); err != nil {
		r.note("landlock", err)
		return r
	}
	var rules []landlock.Rule
	add := func(path string, file, dir landlock.AccessFSSet) {
		info, err := os.Stat(path)
		switch {
		case err != nil: // not here, or not for us
		case info.IsDir():
			rules = append(rules, landlock.PathAccess(dir, path).IgnoreIfMissing())
		default:
			rules = append(rules, landlock.PathAccess(file, path).IgnoreIfMissing())
		}
	}
	for _, path := range p.ReadWrite {
		add(path, writeFile, writeDir)
	}
	for _, path := range p.ReadOnly {
		add(path, readFile, readDir)
	}
	for _, path := range systemPaths() {
		add(path, readFile, readDir)
	}
	add("/dev/null", writeFile, readDir)
	// V8 is the newest that restricts files only as described above: V9 would
	// also cut off a collector on a unix socket.
	err := landlock.V8.BestEffort().RestrictPaths(rules...)
	abi, _ := llsys.LandlockGetABIVersion()
	r.note(fmt.Sprintf("landlock v%d", abi), err)
	return r
}

// systemPaths are what Go's runtime, resolver, time zones and TLS read, and
// what the process's own metrics come from. /etc itself is not among them.
func systemPaths() []string {
	paths := []string{
		"/etc/resolv.conf", "/run/systemd/resolve", "/run/resolvconf", "/run/NetworkManager", // the files behind resolv.conf are replaced
		"/etc/hosts", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/services", "/etc/protocols", "/etc/gai.conf",
		"/etc/localtime", "/etc/timezone", "/usr/share/zoneinfo", "/usr/lib/zoneinfo", "/usr/share/lib/zoneinfo",
		// Where crypto/x509 looks, and what the links there point to.
		"/etc/ssl/certs", "/etc/ssl/cert.pem", "/etc/ssl/ca-bundle.pem", "/etc/pki/tls/certs", "/etc/pki/tls/cacert.pem",
		"/etc/pki/ca-trust/extracted/pem", "/etc/ca-certificates/extracted", "/usr/share/ca-certificates", "/usr/local/share/ca-certificates",
		"/proc/self", "/proc/meminfo", "/proc/stat", "/proc/cpuinfo", "/proc/loadavg", "/proc/uptime",
		"/proc/sys/net", "/proc/sys/kernel/hostname", "/proc/sys/kernel/osrelease", "/proc/sys/vm/overcommit_memory",
		"/sys/fs/cgroup", "/sys/devices/system/cpu", "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size",
		"/dev/urandom", "/dev/random",
	}
	for _, name := range []string{"SSL_CERT_FILE", "SSL_CERT_DIR", "ZONEINFO"} {
		if v := os.Getenv(name); v != "" {
			paths = append(paths, v)
		}
	}
	return paths
}
