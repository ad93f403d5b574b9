package resize

import (
	"bytes"
	"errors"
	"image"
	"strconv"
)

// decode unpacks a PNG or a JPEG of at most maxPixels, the right way up. Both
// formats are registered by the packages that encode uses.
func decode(data []byte, maxPixels int) (picture image.Image, format string, err error) {
	header, format, err := image.DecodeConfig(bytes.NewReader(data))
	if errors.Is(err, image.ErrFormat) {
		return nil, "", errors.New("the input is neither a PNG nor a JPEG image (" + strconv.Itoa(len(data)) + " bytes)")
	}
	if err != nil {
		return nil, "", errors.New("read the picture's header: " + err.Error())
	}
	if err := checkPixels("the picture is", header.Width, header.Height, maxPixels); err != nil {
		return nil, "", err
	}
	picture, format, err = image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, "", errors.New("read the picture: " + err.Error())
	}
	if format == "jpeg" {
		picture = upright(picture, orientation(data))
	}
	return picture, format, nil
}

// checkPixels divides where it could multiply, so that no product overflows.
func checkPixels(what string, width, height, maxPixels int) error {
	if width > 0 && height > maxPixels/width {
		return errors.New(what + " " + strconv.Itoa(width) + "x" + strconv.Itoa(height) +
			", over --max-pixels=" + strconv.Itoa(maxPixels))
	}
	return nil
}
