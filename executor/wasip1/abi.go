package wasip1

import (
	"errors"
	"syscall"
)

// ModuleName is the name guests import WASI preview 1 from.
const ModuleName = "wasi_snapshot_preview1"

// errno is a WASI error number, in the order of the preview 1 document.
type errno uint32

const (
	errSuccess     errno = 0
	err2Big        errno = 1
	errAcces       errno = 2
	errAgain       errno = 6
	errBadf        errno = 8
	errBusy        errno = 10
	errDquot       errno = 19
	errExist       errno = 20
	errFault       errno = 21
	errFbig        errno = 22
	errIlseq       errno = 25
	errIntr        errno = 27
	errInval       errno = 28
	errIO          errno = 29
	errIsdir       errno = 31
	errLoop        errno = 32
	errMfile       errno = 33
	errMlink       errno = 34
	errNametoolong errno = 37
	errNfile       errno = 41
	errNodev       errno = 43
	errNoent       errno = 44
	errNomem       errno = 48
	errNospc       errno = 51
	errNosys       errno = 52
	errNotdir      errno = 54
	errNotempty    errno = 55
	errNotsock     errno = 57
	errNotsup      errno = 58
	errNxio        errno = 60
	errOverflow    errno = 61
	errPerm        errno = 63
	errPipe        errno = 64
	errRofs        errno = 69
	errSpipe       errno = 70
	errTimedout    errno = 73
	errTxtbsy      errno = 74
	errXdev        errno = 75
	errNotcapable  errno = 76
)

// errnoOf translates what sandboxfs, a stream or the host failed with.
func errnoOf(err error) errno {
	if err == nil {
		return errSuccess
	}
	host, ok := err.(syscall.Errno)
	if !ok && !errors.As(err, &host) {
		return errIO
	}
	switch host {
	case syscall.E2BIG:
		return err2Big
	case syscall.EACCES:
		return errAcces
	case syscall.EAGAIN:
		return errAgain
	case syscall.EBADF:
		return errBadf
	case syscall.EBUSY:
		return errBusy
	case syscall.EDQUOT:
		return errDquot
	case syscall.EEXIST:
		return errExist
	case syscall.EFAULT:
		return errFault
	case syscall.EFBIG:
		return errFbig
	case syscall.EILSEQ:
		return errIlseq
	case syscall.EINTR:
		return errIntr
	case syscall.EINVAL:
		return errInval
	case syscall.EISDIR:
		return errIsdir
	case syscall.ELOOP:
		return errLoop
	case syscall.EMFILE:
		return errMfile
	case syscall.EMLINK:
		return errMlink
	case syscall.ENAMETOOLONG:
		return errNametoolong
	case syscall.ENFILE:
		return errNfile
	case syscall.ENODEV:
		return errNodev
	case syscall.ENOENT:
		return errNoent
	case syscall.ENOMEM:
		return errNomem
	case syscall.ENOSPC:
		return errNospc
	case syscall.ENOSYS:
		return errNosys
	case syscall.ENOTDIR:
		return errNotdir
	case syscall.ENOTEMPTY:
		return errNotempty
	case syscall.ENOTSUP:
		return errNotsup
	case syscall.ENXIO:
		return errNxio
	case syscall.EOVERFLOW:
		return errOverflow
	case syscall.EPERM:
		return errPerm
	case syscall.EPIPE:
		return errPipe
	case syscall.EROFS:
		return errRofs
	case syscall.ESPIPE:
		return errSpipe
	case syscall.ETIMEDOUT:
		return errTimedout
	case syscall.ETXTBSY:
		return errTxtbsy
	case syscall.EXDEV:
		return errXdev
	}
	return errIO
}

// rights are what a descriptor may be used for.
type rights uint64

const (
	rightFdDatasync rights = 1 << iota
	rightFdRead
	rightFdSeek
	rightFdFdstatSetFlags
	rightFdSync
	rightFdTell
	rightFdWrite
	rightFdAdvise
	rightFdAllocate
	rightPathCreateDirectory
	rightPathCreateFile
	rightPathLinkSource
	rightPathLinkTarget
	rightPathOpen
	rightFdReaddir
	rightPathReadlink
	rightPathRenameSource
	rightPathRenameTarget
	rightPathFilestatGet
	rightPathFilestatSetSize
	rightPathFilestatSetTimes
	rightFdFilestatGet
	rightFdFilestatSetSize
	rightFdFilestatSetTimes
	rightPathSymlink
	rightPathRemoveDirectory
	rightPathUnlinkFile
	rightPollFdReadwrite
	rightSockShutdown
	rightSockAccept
	rightsEnd

	rightsAll = rightsEnd - 1
	// rightsFile are those that mean something on a file.
	rightsFile = rightFdDatasync | rightFdRead | rightFdSeek | rightFdFdstatSetFlags | rightFdSync |
		rightFdTell | rightFdWrite | rightFdAdvise | rightFdAllocate | rightFdFilestatGet |
		rightFdFilestatSetSize | rightFdFilestatSetTimes | rightPollFdReadwrite
	// rightsDir are those that mean something on a directory.
	rightsDir = rightsAll &^ (rightFdRead | rightFdSeek | rightFdTell | rightFdWrite | rightFdAdvise |
		rightFdAllocate | rightFdFilestatSetSize | rightPollFdReadwrite | rightSockShutdown | rightSockAccept)
	rightsStdin  = rightFdRead | rightFdFdstatSetFlags | rightFdFilestatGet | rightPollFdReadwrite
	rightsStdout = rightFdWrite | rightFdFdstatSetFlags | rightFdFilestatGet | rightPollFdReadwrite | rightFdSync | rightFdDatasync
)

// File types of fdstat, filestat and dirent.
const (
	filetypeUnknown = iota
	filetypeBlockDevice
	filetypeCharacterDevice
	filetypeDirectory
	filetypeRegularFile
	filetypeSocketDgram
	filetypeSocketStream
	filetypeSymbolicLink
)

// Flags of descriptors, opening, lookup and file times.
const (
	fdflagAppend   = 1
	fdflagNonblock = 4
	fdflagsAll     = 31 // with dsync, rsync and sync

	oflagCreat     = 1
	oflagDirectory = 2
	oflagExcl      = 4
	oflagTrunc     = 8
	oflagsAll      = 15

	lookupFollow = 1

	fstAtim    = 1
	fstAtimNow = 2
	fstMtim    = 4
	fstMtimNow = 8
	fstAll     = 15
)

// Sizes of the structures of the ABI, in bytes.
const (
	sizeFdstat       = 24
	sizeFilestat     = 64
	sizeDirent       = 24
	sizePrestat      = 8
	sizeIovec        = 8
	sizeSubscription = 48
	sizeEvent        = 32
)
