package main

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"testing"
)

// TestSamplesAreWhatTheyWere sees that testdata is what this program makes. Of
// the picture the pixels count: its packing may change with Go.
func TestSamplesAreWhatTheyWere(t *testing.T) {
	dir := t.TempDir()
	if err := write(dir); err != nil {
		t.Fatal(err)
	}
	made := 0
	err := filepath.WalkDir(dir, func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		made++
		below, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		got, want := readFile(t, name), readFile(t, filepath.Join("..", "testdata", below))
		if filepath.Ext(name) == ".png" {
			got, want = pixels(t, got), pixels(t, want)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what it was: run go run ./sample", below)
		}
		return nil
	})
	if err != nil || made != 24 {
		t.Errorf("made %d files, %v: want 24", made, err)
	}
}

func readFile(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func pixels(t *testing.T, data []byte) []byte {
	t.Helper()
	picture, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	bounds := picture.Bounds()
	for y := range bounds.Dy() {
		for x := range bounds.Dx() {
			c := color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)
			all = append(all, c.R, c.G, c.B)
		}
	}
	if bounds != image.Rect(0, 0, 512, 384) {
		t.Errorf("the picture is %v", bounds)
	}
	return all
}
