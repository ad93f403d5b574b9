package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"slices"
	"strconv"
	"strings"

	"boxfleet/jobs"
	"boxfleet/limits"
)

// recipeOrder lists the tools of the mix in the order their jobs come.
var recipeOrder = []string{"jq", "grep", "sort", "wc", "markdown", "sh", "starlark", "lua", "jsonnet", "resize", "hello"}

// The grep recipe's directory: files of lines, one in so many of which holds
// the word that a job looks for.
const (
	treeFiles = 40
	treeLines = 100
	treeWords = 25
)

// mixInputs are what the recipes' jobs mount.
type mixInputs struct {
	tree, picture string
}

// recipes gives the jobs of each tool. Each job's input depends on its number,
// and what it must write is worked out from the same number here.
func (t *target) recipes(in mixInputs) map[string]*mixTool {
	all := map[string]*mixTool{}
	add := func(name string, make func(n int, j *jobs.Job), want func(ctx context.Context, n int, res *jobs.Result) string) {
		all[name] = &mixTool{name: name, make: make, want: want}
	}
	// text is for tools that write one text.
	text := func(name string, make func(n int, j *jobs.Job), want func(n int) string) {
		add(name, make, func(_ context.Context, n int, res *jobs.Result) string { return wrote(res, want(n)) })
	}
	text("jq", func(n int, j *jobs.Job) {
		list, _ := json.Marshal(numbers(n))
		j.Args, j.Stdin = []string{"--compact-output", "{sum: .list | add, most: .list | max}"}, &jobs.Stdin{Inline: fmt.Sprintf(`{"list": %s}`, list)}
	}, func(n int) string {
		return fmt.Sprintf("{\"most\":%d,\"sum\":%d}\n", slices.Max(numbers(n)), sum(numbers(n)))
	})
	text("sort", func(n int, j *jobs.Job) {
		j.Args, j.Stdin = []string{"--numeric-sort"}, &jobs.Stdin{Inline: lines(numbers(n))}
	}, func(n int) string {
		return lines(slices.Sorted(slices.Values(numbers(n))))
	})
	text("wc", func(n int, j *jobs.Job) {
		j.Args, j.Stdin = []string{"--lines"}, &jobs.Stdin{Inline: strings.Repeat("a line\n", n%1000)}
	}, func(n int) string { return fmt.Sprintf("%d\n", n%1000) })
	text("sh", func(n int, j *jobs.Job) {
		j.Args = []string{"-c", fmt.Sprintf("for i in 1 2 3; do echo $((i * %d)); done | sort -n -r | head -n 1", n+1)}
	}, func(n int) string { return fmt.Sprintf("%d\n", 3*(n+1)) })
	text("lua", func(n int, j *jobs.Job) {
		j.Args = []string{fmt.Sprintf("--command=local s = 0 for i = 1, 1000 do s = s + i %% %d end print(s)", n%50+2)}
	}, func(n int) string { return fmt.Sprintf("%d\n", sumOfRests(n%50+2)) })
	text("starlark", func(n int, j *jobs.Job) {
		j.Args = []string{fmt.Sprintf("--command=print(len([i for i in range(1000) if i %% %d == 0]))", n%50+2)}
	}, func(n int) string { m := n%50 + 2; return fmt.Sprintf("%d\n", (999+m)/m) })
	text("hello", func(n int, j *jobs.Job) {
		j.Args = []string{fmt.Sprintf("--name=job %d", n)}
	}, func(n int) string { return fmt.Sprintf("Hello, job %d!\n", n) })

	add("jsonnet", func(n int, j *jobs.Job) {
		j.Args = []string{fmt.Sprintf("--exec=local n = %d; {twice: n * 2, list: [i * n for i in std.range(1, 3)]}", n)}
	}, func(_ context.Context, n int, res *jobs.Result) string {
		var got struct {
			Twice int
			List  []int
		}
		if err := json.Unmarshal(res.Stdout, &got); err != nil || got.Twice != 2*n || !slices.Equal(got.List, []int{n, 2 * n, 3 * n}) {
			return fmt.Sprintf("wrote %.200q for %d (%v)", res.Stdout, n, err)
		}
		return ""
	})
	add("markdown", func(n int, j *jobs.Job) {
		j.Stdin = &jobs.Stdin{Inline: fmt.Sprintf("# Job\n\nThis is *number* **%d**.\n", n)}
	}, func(_ context.Context, n int, res *jobs.Result) string {
		if want := fmt.Sprintf("<p>This is <em>number</em> <strong>%d</strong>.</p>", n); !bytes.Contains(res.Stdout, []byte(want)) {
			return fmt.Sprintf("wrote %.200q, without %q", res.Stdout, want)
		}
		return ""
	})
	add("grep", func(n int, j *jobs.Job) {
		j.Args = []string{"--recursive", fmt.Sprintf("word%d$", n%treeWords), "/in"}
		j.Options.MapDirs = []limits.Mount{{Source: in.tree, Guest: "/in"}}
	}, func(_ context.Context, n int, res *jobs.Result) string {
		if got, want := bytes.Count(res.Stdout, []byte("\n")), treeFiles*treeLines/treeWords; got != want {
			return fmt.Sprintf("found %d lines, want %d", got, want)
		}
		return ""
	})
	add("resize", func(n int, j *jobs.Job) {
		j.Args = []string{fmt.Sprintf("--width=%d", pictureWidth(n)), "--output=/out/small.png", "/in/picture.png"}
		j.Options.MapDirs = []limits.Mount{{Source: in.picture, Guest: "/in"}, {Guest: "/out", Mode: limits.ReadWrite}}
	}, func(ctx context.Context, n int, res *jobs.Result) string {
		return t.wrongPicture(ctx, pictureWidth(n), res)
	})
	return all
}

// prepare stores what the recipes' jobs mount.
func (t *target) prepare(ctx context.Context) (in mixInputs, err error) {
	files := map[string][]byte{}
	for i := range treeFiles {
		var b strings.Builder
		for k := range treeLines {
			fmt.Fprintf(&b, "line %d of file %d ends with word%d\n", k, i, k%treeWords)
		}
		files[fmt.Sprintf("dir%d/file%d.txt", i%4, i)] = []byte(b.String())
	}
	if in.tree, err = t.tree(ctx, files); err != nil {
		return in, err
	}
	picture := image.NewRGBA(image.Rect(0, 0, 320, 240))
	for y := range 240 {
		for x := range 320 {
			picture.SetRGBA(x, y, color.RGBA{uint8(x), uint8(y), uint8(x * y), 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, picture); err != nil {
		return in, err
	}
	in.picture, err = t.tree(ctx, map[string][]byte{"picture.png": b.Bytes()})
	return in, err
}

// maxPicture bounds the output of resize that is fetched.
const maxPicture = 1 << 20

func pictureWidth(n int) int { return 40 + n%40 }

// wrongPicture fetches the one output of a resize job and looks at it.
func (t *target) wrongPicture(ctx context.Context, width int, res *jobs.Result) string {
	if len(res.Outputs) != 1 {
		return fmt.Sprintf("%d outputs, want one picture", len(res.Outputs))
	}
	bucket, prefix, ok := strings.Cut(strings.TrimPrefix(res.OutputPrefix, "s3://"), "/")
	if !ok {
		return fmt.Sprintf("the output prefix %q is not s3://bucket/prefix/", res.OutputPrefix)
	}
	data, err := t.store.Get(ctx, bucket, prefix+res.Outputs[0].Path, maxPicture)
	if err != nil {
		return err.Error()
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != res.Outputs[0].SHA256 {
		return "the picture's SHA-256 is not the one in the result"
	}
	picture, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return "the picture: " + err.Error()
	}
	if got := picture.Bounds().Dx(); got != width {
		return fmt.Sprintf("the picture is %d pixels wide, want %d", got, width)
	}
	return ""
}

// numbers gives the nth job's numbers.
func numbers(n int) (list []int) {
	v := uint32(n)*2654435761 + 1
	for range 200 {
		v ^= v << 13
		v ^= v >> 17
		v ^= v << 5
		list = append(list, int(v%100_000))
	}
	return list
}

func sum(list []int) (s int) {
	for _, v := range list {
		s += v
	}
	return s
}

func sumOfRests(m int) (s int) {
	for i := 1; i <= 1000; i++ {
		s += i % m
	}
	return s
}

func lines(list []int) string {
	var b []byte
	for _, v := range list {
		b = append(strconv.AppendInt(b, int64(v), 10), '\n')
	}
	return string(b)
}
