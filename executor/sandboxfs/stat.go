package sandboxfs

// FileType is what an entry of a directory is.
type FileType uint8

const (
	TypeUnknown FileType = iota
	TypeRegular
	TypeDirectory
	TypeSymlink
	TypeCharDevice
	TypeBlockDevice
	TypeFIFO
	TypeSocket
)

// Stat describes a file. Times are nanoseconds since the Unix epoch; a time
// before it reads as 0.
type Stat struct {
	Dev, Ino         uint64
	Type             FileType
	Nlink            uint64
	Size             int64
	Atim, Mtim, Ctim int64
}

// Time is a file time to set: Nanos since the Unix epoch, or left as it is
// when Set is false.
type Time struct {
	Set   bool
	Nanos uint64
}

// OpenFlag says how Open opens. With neither Read nor Write a file is opened
// for its metadata alone.
type OpenFlag uint8

const (
	Read OpenFlag = 1 << iota
	Write
	Create    // make the file if it is missing
	Exclusive // with Create: fail with EEXIST if it is there
	Truncate
	Directory // fail with ENOTDIR if it is not a directory
	NoFollow  // fail with ELOOP if the last component is a symbolic link
)

// DirEntry is one entry of a directory. Next is the cookie that continues after it.
type DirEntry struct {
	Name string
	Ino  uint64
	Type FileType
	Next uint64
}
