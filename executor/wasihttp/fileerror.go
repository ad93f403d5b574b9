package wasihttp

import (
	"errors"
	"syscall"
)

// fileError is wasi:filesystem/types.error-code, by its number in the enum.
type fileError struct{ code byte }

func (e *fileError) Error() string { return fileErrorNames[e.code] }

// fileErrorNames are the cases of the enum, in its order.
var fileErrorNames = [...]string{
	"access", "would-block", "already", "bad-descriptor", "busy", "deadlock", "quota", "exist", "file-too-large",
	"illegal-byte-sequence", "in-progress", "interrupted", "invalid", "io", "is-directory", "loop", "too-many-links",
	"message-size", "name-too-long", "no-device", "no-entry", "no-lock", "insufficient-memory", "insufficient-space",
	"not-directory", "not-empty", "not-recoverable", "unsupported", "no-tty", "no-such-device", "overflow",
	"not-permitted", "pipe", "read-only", "invalid-seek", "text-file-busy", "cross-device",
}

// The cases that this host gives.
const (
	fileAccess            = 0
	fileWouldBlock        = 1
	fileBadDescriptor     = 3
	fileBusy              = 4
	fileQuota             = 6
	fileExist             = 7
	fileTooLarge          = 8
	fileIllegalBytes      = 9
	fileInterrupted       = 11
	fileInvalid           = 12
	fileIO                = 13
	fileIsDirectory       = 14
	fileLoop              = 15
	fileTooManyLinks      = 16
	fileNameTooLong       = 18
	fileNoDevice          = 19
	fileNoEntry           = 20
	fileNoMemory          = 22
	fileInsufficientSpace = 23
	fileNotDirectory      = 24
	fileNotEmpty          = 25
	fileUnsupported       = 27
	fileNoSuchDevice      = 29
	fileOverflow          = 30
	fileNotPermitted      = 31
	filePipe              = 32
	fileReadOnly          = 33
	fileInvalidSeek       = 34
	fileTextBusy          = 35
	fileCrossDevice       = 36
)

var fileErrors = map[syscall.Errno]byte{
	syscall.EACCES: fileAccess, syscall.EAGAIN: fileWouldBlock, syscall.EBADF: fileBadDescriptor, syscall.EBUSY: fileBusy,
	syscall.EDQUOT: fileQuota, syscall.EEXIST: fileExist, syscall.EFBIG: fileTooLarge, syscall.EILSEQ: fileIllegalBytes,
	syscall.EINTR: fileInterrupted, syscall.EINVAL: fileInvalid, syscall.EIO: fileIO, syscall.EISDIR: fileIsDirectory,
	syscall.ELOOP: fileLoop, syscall.EMLINK: fileTooManyLinks, syscall.ENAMETOOLONG: fileNameTooLong,
	syscall.ENODEV: fileNoDevice, syscall.ENOENT: fileNoEntry, syscall.ENOMEM: fileNoMemory,
	syscall.ENOSPC: fileInsufficientSpace, syscall.ENOTDIR: fileNotDirectory, syscall.ENOTEMPTY: fileNotEmpty,
	syscall.ENOTSUP: fileUnsupported, syscall.ENOSYS: fileUnsupported, syscall.ENXIO: fileNoSuchDevice,
	syscall.EOVERFLOW: fileOverflow, syscall.EPERM: fileNotPermitted, syscall.EPIPE: filePipe,
	syscall.EROFS: fileReadOnly, syscall.ESPIPE: fileInvalidSeek, syscall.ETXTBSY: fileTextBusy,
	syscall.EXDEV: fileCrossDevice,
	// The enum has no case for too many open files; it is a quota here.
	syscall.EMFILE: fileQuota, syscall.ENFILE: fileQuota,
}

// asFileError gives the error-code of what a file operation failed with, or nil.
func asFileError(err error) error {
	if err == nil {
		return nil
	}
	if file, ok := errors.AsType[*fileError](err); ok {
		return file
	}
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		if code, ok := fileErrors[errno]; ok {
			return &fileError{code}
		}
	}
	return &fileError{fileIO}
}

// fileResult writes what result<_, error-code> says when the payload of its err case is at offset; it tells whether that
// is ok.
func (c *call) fileResult(ret, offset uint32, err error) bool {
	if err == nil {
		c.put8(ret, 0)
		return true
	}
	file, _ := errors.AsType[*fileError](asFileError(err))
	c.put8(ret, 1)
	c.put8(ret+offset, file.code)
	return false
}
