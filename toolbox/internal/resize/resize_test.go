package resize

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"boxfleet/toolbox/internal/command"
)

// quarters is a picture whose upper left quarter is red, upper right green,
// lower left blue and lower right white.
func quarters(w, h int) *image.NRGBA {
	picture := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.NRGBA{A: 255}
			switch {
			case y < h/2 && x < w/2:
				c.R = 255
			case y < h/2:
				c.G = 255
			case x < w/2:
				c.B = 255
			default:
				c.R, c.G, c.B = 255, 255, 255
			}
			picture.Set(x, y, c)
		}
	}
	return picture
}

func asPNG(t testing.TB, picture image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// asJPEG is a JPEG with the EXIF orientation given, or none for 0.
func asJPEG(t testing.TB, picture image.Image, way int, order binary.AppendByteOrder) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, picture, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	if way == 0 {
		return b.Bytes()
	}
	tiff := []byte("II*\x00")
	if order == binary.BigEndian {
		tiff = []byte("MM\x00*")
	}
	tiff = order.AppendUint32(tiff, 8)
	tiff = order.AppendUint16(tiff, 2) // entries
	for _, entry := range [][2]uint16{{256, 1}, {274, uint16(way)}} {
		tiff = order.AppendUint16(tiff, entry[0])
		tiff = order.AppendUint16(tiff, 3)
		tiff = order.AppendUint32(tiff, 1)
		tiff = order.AppendUint16(tiff, entry[1])
		tiff = order.AppendUint16(tiff, 0)
	}
	segment := append([]byte("Exif\x00\x00"), tiff...)
	out := []byte{0xFF, 0xD8, 0xFF, 0xE1}
	out = binary.BigEndian.AppendUint16(out, uint16(len(segment)+2))
	return append(append(out, segment...), b.Bytes()[2:]...)
}

// resize runs the tool on standard input and output.
func resize(in []byte, args ...string) (code int, stdout []byte, stderr string) {
	var out, complaints bytes.Buffer
	code = Run(args, command.Streams{In: bytes.NewReader(in), Out: &out, Err: &complaints})
	return code, out.Bytes(), complaints.String()
}

// corners names the colors in a picture's corners: upper left and right, lower
// left and right.
func corners(picture image.Image) string {
	b := picture.Bounds()
	var s strings.Builder
	for _, p := range []image.Point{{b.Min.X, b.Min.Y}, {b.Max.X - 1, b.Min.Y}, {b.Min.X, b.Max.Y - 1}, {b.Max.X - 1, b.Max.Y - 1}} {
		r, g, bl, _ := picture.At(p.X, p.Y).RGBA()
		switch {
		case r > 0x8000 && g > 0x8000 && bl > 0x8000:
			s.WriteByte('W')
		case r > 0x8000:
			s.WriteByte('R')
		case g > 0x8000:
			s.WriteByte('G')
		case bl > 0x8000:
			s.WriteByte('B')
		default:
			s.WriteByte('.')
		}
	}
	return s.String()
}

func TestShapes(t *testing.T) {
	in := asPNG(t, quarters(80, 40))
	tests := []struct {
		args       string
		w, h       int
		format, at string
	}{
		{"--width=40", 40, 20, "png", "RGBW"},
		{"--height=10", 20, 10, "png", "RGBW"},
		{"--width=160", 160, 80, "png", "RGBW"},
		{"--width=20 --height=20", 20, 10, "png", "RGBW"},
		{"--width=20 --height=20 --fit=cover", 20, 20, "png", "RGBW"},
		{"--width=20 --height=20 --fit=stretch", 20, 20, "png", "RGBW"},
		{"--width=30 --height=2 --fit=cover", 30, 2, "png", "RGBW"},
		{"-W 40 --format=jpeg --quality=95", 40, 20, "jpeg", "RGBW"},
		{"-W 40 --filter=nearest", 40, 20, "png", "RGBW"},
		{"-W 40 --filter=bilinear", 40, 20, "png", "RGBW"},
		{"-W 1", 1, 1, "png", ""},
	}
	for _, test := range tests {
		code, out, stderr := resize(in, strings.Fields(test.args)...)
		picture, format, err := image.Decode(bytes.NewReader(out))
		if code != 0 || err != nil {
			t.Errorf("%s: code %d, %v, said %q", test.args, code, err, stderr)
			continue
		}
		size := picture.Bounds().Size()
		if size != image.Pt(test.w, test.h) || format != test.format || test.at != "" && corners(picture) != test.at {
			t.Errorf("%s: a %s of %v with %s; want a %s of %dx%d with %s", test.args, format, size, corners(picture), test.format, test.w, test.h, test.at)
		}
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.png"), filepath.Join(dir, "out.JPG")
	if err := os.WriteFile(in, asPNG(t, quarters(40, 40)), 0o644); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := resize(nil, "-W", "10", in, out)
	data, err := os.ReadFile(out)
	want := fmt.Sprintf("{\"output\":%q,\"width\":10,\"height\":10,\"bytes\":%d}\n", out, len(data))
	if code != 0 || err != nil || string(stdout) != want {
		t.Fatalf("code %d, %v, printed %q, said %q", code, err, stdout, stderr)
	}
	if _, format, err := image.DecodeConfig(bytes.NewReader(data)); err != nil || format != "jpeg" {
		t.Errorf("the output is a %s, %v", format, err)
	}
	if code, _, stderr = resize(nil, "-W", "10", filepath.Join(dir, "nothing"), out); code != 1 || !strings.Contains(stderr, "nothing") {
		t.Errorf("no input: code %d, said %q", code, stderr)
	}
	if code, _, stderr = resize(nil, "-W", "10", in, filepath.Join(dir, "no", "out.png")); code != 1 || !strings.Contains(stderr, "out.png") {
		t.Errorf("no room for output: code %d, said %q", code, stderr)
	}
}

func TestTransparencyIsKept(t *testing.T) {
	picture := image.NewNRGBA(image.Rect(0, 0, 20, 20))
	for y := range 20 {
		for x := range 10 {
			picture.Set(x, y, color.NRGBA{R: 200, A: 128})
		}
	}
	_, out, stderr := resize(asPNG(t, picture), "-W", "10")
	got, err := png.Decode(bytes.NewReader(out))
	if err != nil {
		t.Fatal(err, stderr)
	}
	half, none := color.NRGBAModel.Convert(got.At(1, 5)).(color.NRGBA), color.NRGBAModel.Convert(got.At(8, 5)).(color.NRGBA)
	if half.A < 120 || half.A > 136 || half.R < 195 || half.R > 205 || none.A > 8 {
		t.Errorf("half clear is %v, all clear is %v", half, none)
	}
}

func TestOrientation(t *testing.T) {
	picture := quarters(64, 32)
	// Where the corners of the stored picture end up, by EXIF orientation.
	want := []string{1: "RGBW", 2: "GRWB", 3: "WBGR", 4: "BWRG", 5: "RBGW", 6: "BRWG", 7: "WGBR", 8: "GWRB"}
	for way := 1; way <= 8; way++ {
		for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
			_, out, stderr := resize(asJPEG(t, picture, way, order), "-H", "32", "--format=png")
			got, err := png.Decode(bytes.NewReader(out))
			if err != nil {
				t.Fatal(err, stderr)
			}
			wantSize := image.Pt(64, 32)
			if way >= 5 {
				wantSize = image.Pt(16, 32)
			}
			if corners(got) != want[way] || got.Bounds().Size() != wantSize {
				t.Errorf("orientation %d, %v: %s of %v; want %s of %v", way, order, corners(got), got.Bounds().Size(), want[way], wantSize)
			}
		}
	}
}

func TestRefusals(t *testing.T) {
	good := asPNG(t, quarters(8, 8))
	tests := []struct {
		name, args string
		in         []byte
		code       int
		says       string
	}{
		{"no size", "", good, 2, "want --width, --height or both"},
		{"a negative size", "--width=-1", good, 2, "want 0 or more pixels"},
		{"quality", "--width=1 --quality=0", good, 2, "--quality is 0: want 1 to 100"},
		{"no picture", "--width=1", []byte("GIF89a what"), 1, "neither a PNG nor a JPEG image (11 bytes)"},
		{"nothing", "--width=1", nil, 1, "neither a PNG nor a JPEG image (0 bytes)"},
		{"cut short", "--width=1", good[:len(good)-20], 1, "read the picture"},
		{"a header alone", "--width=1", good[:20], 1, "read the picture's header"},
		{"too large", "--width=1 --max-pixels=63", good, 1, "the picture is 8x8, over --max-pixels=63"},
		{"a bomb", "--width=1", hugePNG(), 1, "the picture is 30000x30000, over --max-pixels=50000000"},
		{"too large a result", "--width=100000", good, 1, "the result would be 100000x100000, over --max-pixels=50000000"},
		{"far too large a result", "--width=9223372036854775807", good, 1, "more than 2147483647 pixels wide or high"},
		{"a thin result", "--width=50000001 --height=1 --fit=stretch", good, 1, "the result would be 50000001x1"},
	}
	for _, test := range tests {
		code, out, stderr := resize(test.in, strings.Fields(test.args)...)
		if code != test.code || !strings.Contains(stderr, test.says) || len(out) != 0 {
			t.Errorf("%s: code %d, printed %d bytes, said %q; want %d and %q", test.name, code, len(out), stderr, test.code, test.says)
		}
	}
}

// hugePNG is a sound PNG header that announces 2.7 GB of pixels, and nothing else.
func hugePNG() []byte {
	header := []byte("IHDR\x00\x00\x75\x30\x00\x00\x75\x30\x08\x02\x00\x00\x00")
	out := []byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d")
	out = append(out, header...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(header))
}

// FuzzOrientation sees that no segment, however broken, gives a panic or a way
// that is none.
func FuzzOrientation(f *testing.F) {
	for way := range 9 {
		f.Add(asJPEG(f, quarters(2, 2), way, binary.BigEndian)[:60])
	}
	f.Add([]byte("\xff\xd8\xff\xe1\x00\x10Exif\x00\x00II*\x00\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if way := orientation(data); way < 1 || way > 8 {
			t.Errorf("orientation %d", way)
		}
	})
}
