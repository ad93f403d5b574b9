package main

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
)

// photo is a PNG of rows of hills that fade into fog, under a sky, with grain.
func photo(width, height int) ([]byte, error) {
	random := rand.New(rand.NewPCG(3, 4))
	picture := image.NewRGBA(image.Rect(0, 0, width, height))
	ridges := make([][]float64, 5)
	for i := range ridges {
		ridges[i] = ridge(random, width, 0.35+0.12*float64(i), 0.05+0.02*float64(i))
	}
	for y := range height {
		for x := range width {
			r, g, b := colorAt(x, float64(y)/float64(height), ridges)
			grain := random.NormFloat64() * 4
			picture.Set(x, y, color.RGBA{clamp(r + grain), clamp(g + grain), clamp(b + grain), 255})
		}
	}
	var out bytes.Buffer
	err := png.Encode(&out, picture)
	return out.Bytes(), err
}

// ridge is the height of a hill line at every x, from 0 at the top to 1.
func ridge(random *rand.Rand, width int, base, size float64) []float64 {
	line := make([]float64, width)
	for octave := 1.0; octave <= 16; octave *= 2 {
		phase := random.Float64() * 2 * math.Pi
		for x := range line {
			line[x] += math.Sin(phase+octave*2*math.Pi*float64(x)/float64(width)) / octave
		}
	}
	for x := range line {
		line[x] = base + size*line[x]
	}
	return line
}

func colorAt(x int, y float64, ridges [][]float64) (r, g, b float64) {
	for i := len(ridges) - 1; i >= 0; i-- {
		if y > ridges[i][x] {
			near := float64(i) / float64(len(ridges)-1)
			shade := 1 - 0.5*(y-ridges[i][x])
			return (150 - 110*near) * shade, (165 - 70*near) * shade, (190 - 140*near) * shade
		}
	}
	return 120 + 130*y, 160 + 80*y, 225 - 20*y
}

func clamp(v float64) uint8 { return uint8(math.Max(0, math.Min(255, v))) }
