package executor

import (
	"cmp"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// trimDir removes the files that were not used for longest until those below
// dir take at most maxBytes. Files and directories in the making (a leading
// dot) are left alone. Removing a cached compilation costs a compilation, nothing else.
func trimDir(dir string, maxBytes int64) error {
	type file struct {
		path string
		size int64
		used time.Time
	}
	var files []file
	var total int64
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name()[0] == '.' && path != dir {
			return fs.SkipDir
		}
		if err != nil || !d.Type().IsRegular() || d.Name()[0] == '.' {
			return nil //nolint:nilerr // what vanished meanwhile takes no room
		}
		info, err := d.Info()
		if err != nil {
			return nil //nolint:nilerr // likewise
		}
		files = append(files, file{path, info.Size(), info.ModTime()})
		total += info.Size()
		return nil
	})
	if err != nil || total <= maxBytes {
		return err
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Compare(a.used.UnixNano(), b.used.UnixNano()) })
	for _, f := range files {
		if total <= maxBytes {
			break
		}
		if err := os.Remove(f.path); err != nil {
			return err
		}
		total -= f.size
	}
	return nil
}
