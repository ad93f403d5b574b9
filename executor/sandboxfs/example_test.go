//go:build linux

package sandboxfs_test

import (
	"fmt"
	"os"
	"path/filepath"

	"boxfleet/executor/sandboxfs"
)

// A guest makes a link out of its mount and opens it, and writes more than it may.
func Example() {
	base, err := os.MkdirTemp("", "example")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(base)
	work := filepath.Join(base, "work")
	if err := os.Mkdir(work, 0o700); err != nil {
		panic(err)
	}

	f, err := sandboxfs.New(
		[]sandboxfs.Mount{{Guest: "/", Host: work, Mode: sandboxfs.ReadWrite}},
		sandboxfs.Quota{WrittenBytes: 30})
	if err != nil {
		panic(err)
	}
	defer f.Close()
	root := f.OpenMount(0)

	fmt.Println("make the link:", f.Symlink("../../etc/hostname", root, "link"))
	_, err = f.Open(root, "link", sandboxfs.Read)
	fmt.Println("open the link:", err)

	file, err := f.Open(root, "notes", sandboxfs.Create|sandboxfs.Write)
	if err != nil {
		panic(err)
	}
	n, err := file.Write([][]byte{[]byte("hello, "), []byte("jail")})
	fmt.Println("write:", n, err)
	_, err = file.WriteAt([][]byte{[]byte("far")}, 1<<40)
	fmt.Println("write far away:", err)
	fmt.Println("used:", f.Usage().WrittenBytes, "bytes; limit hit:", f.LimitHit())
	// Output:
	// make the link: <nil>
	// open the link: operation not permitted
	// write: 11 <nil>
	// write far away: no space left on device
	// used: 29 bytes; limit hit: written_bytes 30
}
