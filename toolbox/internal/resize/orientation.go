package resize

import (
	"encoding/binary"
	"image"
)

// orientation is the way up that a camera noted in a JPEG's EXIF segment: 1 to
// 8, TIFF 6.0 tag 274. It is 1, as it stands, when there is no such note or
// when the segment is not sound; a picture is not refused for that.
func orientation(jpeg []byte) int {
	const (
		markerEXIF = 0xE1
		markerScan = 0xDA
	)
	for at := 2; at+4 <= len(jpeg) && jpeg[at] == 0xFF; {
		marker, size := jpeg[at+1], int(binary.BigEndian.Uint16(jpeg[at+2:]))
		if marker == markerScan || size < 2 || at+2+size > len(jpeg) {
			break
		}
		segment := jpeg[at+4 : at+2+size]
		if marker == markerEXIF && len(segment) > 6 && string(segment[:6]) == "Exif\x00\x00" {
			return tiffOrientation(segment[6:])
		}
		at += 2 + size
	}
	return 1
}

func tiffOrientation(tiff []byte) int {
	const tag, entrySize = 274, 12
	if len(tiff) < 8 {
		return 1
	}
	var order binary.ByteOrder = binary.LittleEndian
	if tiff[0] == 'M' {
		order = binary.BigEndian
	}
	at := uint64(order.Uint32(tiff[4:]))
	if at+2 > uint64(len(tiff)) {
		return 1
	}
	entries := tiff[at+2:]
	for range order.Uint16(tiff[at:]) {
		if len(entries) < entrySize {
			break
		}
		if order.Uint16(entries) == tag {
			if way := int(order.Uint16(entries[8:])); way >= 1 && way <= 8 {
				return way
			}
			break
		}
		entries = entries[entrySize:]
	}
	return 1
}

// upright turns and mirrors a picture as its orientation asks.
func upright(src image.Image, way int) image.Image {
	if way == 1 {
		return src
	}
	b := src.Bounds()
	w, h := b.Dx(), b.Dy()
	size := image.Pt(w, h)
	if way >= 5 {
		size = image.Pt(h, w)
	}
	dst := image.NewNRGBA(image.Rectangle{Max: size})
	for y := range size.Y {
		for x := range size.X {
			sx, sy := source(way, x, y, w, h)
			dst.Set(x, y, src.At(b.Min.X+sx, b.Min.Y+sy))
		}
	}
	return dst
}

// source is the pixel of a w by h picture that an upright one shows at x, y.
func source(way, x, y, w, h int) (sx, sy int) {
	switch way {
	case 2:
		return w - 1 - x, y
	case 3:
		return w - 1 - x, h - 1 - y
	case 4:
		return x, h - 1 - y
	case 5:
		return y, x
	case 6:
		return y, h - 1 - x
	case 7:
		return w - 1 - y, h - 1 - x
	case 8:
		return w - 1 - y, x
	}
	return x, y
}
