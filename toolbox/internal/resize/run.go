// Package resize is the resize tool: it reads one PNG or JPEG image, scales it
// and writes it as PNG or JPEG.
//
// The picture's header is read before its pixels, so that a small file that
// unpacks to gigabytes is refused and not tried. The way up that a camera noted
// in the file (EXIF orientation) is applied, because the note itself is lost.
package resize

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"boxfleet/toolbox/internal/command"
)

// options are what the command line asks for.
type options struct {
	input, output string
	width, height int
	fit           string
	filter        string
	format        string
	quality       int
	maxPixels     int
}

func describe(o *options) *command.Command {
	*o = options{fit: fitContain, filter: "catmull-rom", quality: 85, maxPixels: 50_000_000}
	input := command.String(&o.input, "input", "The PNG or JPEG file; '-' or nothing is standard input").Short('i')
	output := command.String(&o.output, "output", "The file to write; '-' or nothing is standard output").Short('o')
	return &command.Command{
		Name: "resize", Version: "1.0.0", Permission: "write",
		Description: "Scale a PNG or JPEG image to a width, a height or both.",
		Keywords:    []string{"image", "resize", "scale", "thumbnail", "png", "jpeg", "photo"},
		Positional:  []*command.Option{input, output},
		Options: []*command.Option{
			input, output,
			command.Number(&o.width, "width", "Width in pixels; 0 follows from the height").Short('W'),
			command.Number(&o.height, "height", "Height in pixels; 0 follows from the width").Short('H'),
			command.String(&o.fit, "fit", "With both given: contain keeps all of the picture inside, cover fills and crops the middle, stretch ignores the shape").
				OneOf(fitContain, fitCover, fitStretch),
			command.String(&o.filter, "filter", "From quick to fine").OneOf("nearest", "bilinear", "catmull-rom"),
			command.String(&o.format, "format", "Of the output; without one its name decides, then the input's").OneOf("png", "jpeg"),
			command.Number(&o.quality, "quality", "Of a JPEG, 1 to 100"),
			command.Number(&o.maxPixels, "max-pixels", "Refuse a picture, read or to be made, of more pixels; memory goes up to 40 bytes a pixel when a large one is made from a large one"),
		},
	}
}

// Run is the tool. args leave out the program's name. Unless the picture itself
// goes to standard output, one line of JSON there tells what was written.
func Run(args []string, s command.Streams) int {
	var o options
	cmd := describe(&o)
	if code, goOn := cmd.Start(args, s); !goOn {
		return code
	}
	if err := o.check(); err != nil {
		cmd.Fail(s, err)
		return command.ExitUsage
	}
	if err := o.convert(s); err != nil {
		return cmd.Fail(s, err)
	}
	return command.ExitOK
}

func (o *options) check() error {
	switch {
	case o.width < 0 || o.height < 0:
		return errors.New("--width " + strconv.Itoa(o.width) + " and --height " + strconv.Itoa(o.height) + ": want 0 or more pixels")
	case o.width == 0 && o.height == 0:
		return errors.New("want --width, --height or both")
	case o.quality < 1 || o.quality > 100:
		return errors.New("--quality is " + strconv.Itoa(o.quality) + ": want 1 to 100")
	}
	return nil
}

func (o *options) convert(s command.Streams) error {
	data, err := readInput(o.input, s.In)
	if err != nil {
		return err
	}
	picture, format, err := decode(data, o.maxPixels)
	if err != nil {
		return err
	}
	shape, err := plan(picture.Bounds().Size(), o)
	if err != nil {
		return err
	}
	scaled := scale(picture, shape, o.filter)
	var out bytes.Buffer
	if err := encode(&out, scaled, o.outputFormat(format), o.quality); err != nil {
		return errors.New("encode the picture: " + err.Error())
	}
	if o.output == "" || o.output == "-" {
		_, err := s.Out.Write(out.Bytes())
		return err
	}
	if err := os.WriteFile(o.output, out.Bytes(), 0o644); err != nil {
		return err
	}
	return summarize(s.Out, o, scaled.Bounds().Size(), out.Len())
}

// summarize tells in one line of JSON what was written.
func summarize(w io.Writer, o *options, size image.Point, bytes int) error {
	_, err := io.WriteString(w, `{"output":`+strconv.Quote(o.output)+
		`,"width":`+strconv.Itoa(size.X)+`,"height":`+strconv.Itoa(size.Y)+
		`,"bytes":`+strconv.Itoa(bytes)+"}\n")
	return err
}

func readInput(name string, stdin io.Reader) ([]byte, error) {
	if name == "" || name == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(name)
}

// outputFormat is what the options say, else what the output's name ends in,
// else the input's.
func (o *options) outputFormat(input string) string {
	if o.format != "" {
		return o.format
	}
	switch strings.ToLower(path.Ext(o.output)) {
	case ".png":
		return "png"
	case ".jpg", ".jpeg":
		return "jpeg"
	}
	return input
}

func encode(w io.Writer, picture image.Image, format string, quality int) error {
	if format == "jpeg" {
		return jpeg.Encode(w, picture, &jpeg.Options{Quality: quality})
	}
	return png.Encode(w, picture)
}
