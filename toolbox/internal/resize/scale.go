package resize

import (
	"errors"
	"image"
	"math"
	"strconv"

	"golang.org/x/image/draw"
)

// How a picture is put into a frame of another shape.
const (
	fitContain = "contain"
	fitCover   = "cover"
	fitStretch = "stretch"
)

// shape says which part of the source becomes a picture of which size.
type shape struct {
	from image.Rectangle // relative to the source's upper left corner
	to   image.Point
}

// plan works out the shape for a source of the given size.
func plan(src image.Point, o *options) (shape, error) {
	if src.X <= 0 || src.Y <= 0 {
		return shape{}, errors.New("the picture is empty: " + strconv.Itoa(src.X) + "x" + strconv.Itoa(src.Y))
	}
	sx, sy := float64(o.width)/float64(src.X), float64(o.height)/float64(src.Y)
	from := image.Rectangle{Max: src}
	width, height := float64(o.width), float64(o.height)
	switch {
	case o.width == 0:
		width = sy * float64(src.X)
	case o.height == 0:
		height = sx * float64(src.Y)
	case o.fit == fitContain:
		factor := math.Min(sx, sy)
		width, height = factor*float64(src.X), factor*float64(src.Y)
	case o.fit == fitCover:
		factor := math.Max(sx, sy)
		crop := image.Pt(pixels(width/factor, src.X), pixels(height/factor, src.Y))
		corner := src.Sub(crop).Div(2)
		from = image.Rectangle{Min: corner, Max: corner.Add(crop)}
	}
	if width > math.MaxInt32 || height > math.MaxInt32 {
		return shape{}, errors.New("the result would be more than " + strconv.Itoa(math.MaxInt32) + " pixels wide or high")
	}
	to := image.Pt(pixels(width, math.MaxInt32), pixels(height, math.MaxInt32))
	return shape{from, to}, checkPixels("the result would be", to.X, to.Y, o.maxPixels)
}

// pixels rounds to a whole number of pixels from 1 to limit.
func pixels(n float64, limit int) int {
	return max(1, min(limit, int(math.Round(n))))
}

func scale(src image.Image, s shape, filter string) *image.RGBA {
	var scaler draw.Scaler = draw.CatmullRom
	switch filter {
	case "nearest":
		scaler = draw.NearestNeighbor
	case "bilinear":
		scaler = draw.BiLinear
	}
	dst := image.NewRGBA(image.Rectangle{Max: s.to}) // the scaler's and the encoders' quick path
	scaler.Scale(dst, dst.Bounds(), src, s.from.Add(src.Bounds().Min), draw.Src, nil)
	return dst
}
