package filetool

import (
	"errors"
	"os"
	"strconv"
	"strings"

	"boxfleet/toolbox/internal/command"
)

// edit is one run of file-edit.
type edit struct {
	file, old, new string
	all            bool
}

// Edit replaces a text in a file by another.
func Edit(args []string, s command.Streams) int {
	var e edit
	fileOption := command.String(&e.file, "file-path", "The file").Required()
	oldOption := command.String(&e.old, "old-string", "The text to replace, exactly as the file has it; it must occur once, or with --replace-all at least once").Required()
	newOption := command.String(&e.new, "new-string", "The text to put in its place").Required()
	cmd := &command.Command{
		Name: "file-edit", Version: "1.0.0", Permission: "write",
		Description: "Replace a text in a file by another. Answers with JSON: content, is_error, metadata.",
		Keywords:    []string{"file", "edit", "replace", "change", "modify"},
		Positional:  []*command.Option{fileOption, oldOption, newOption},
		Options: []*command.Option{
			fileOption, oldOption, newOption,
			command.Bool(&e.all, "replace-all", "Replace every occurrence"),
		},
	}
	return run(cmd, args, s, e.apply)
}

func (e *edit) apply(s command.Streams) (answer, error) {
	name := s.Path(e.file)
	info, err := os.Stat(name)
	if err != nil {
		return answer{}, err
	}
	switch {
	case info.IsDir():
		return answer{}, errors.New(e.file + " is a directory")
	case info.Size() > maxEdit:
		return answer{}, errors.New(e.file + " has " + strconv.FormatInt(info.Size(), 10) + " bytes: files over 64 MiB are not edited")
	case e.old == "":
		return answer{}, errors.New("--old-string is empty: give the text to replace, or write the file with file-write")
	case e.old == e.new:
		return answer{}, errors.New("--old-string and --new-string are the same: there is nothing to change")
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return answer{}, err
	}
	text := string(data)
	count := strings.Count(text, e.old)
	found := object{{"file_path", e.file}, {"occurrences", count}}
	switch {
	case count == 0:
		return answer{metadata: found}, errors.New("--old-string does not occur in " + e.file)
	case count > 1 && !e.all:
		return answer{metadata: found}, errors.New("--old-string occurs " + strconv.Itoa(count) + " times in " + e.file +
			": give more of the text around it, or --replace-all")
	}
	line := 1 + strings.Count(text[:strings.Index(text, e.old)], "\n")
	if err := replaceFile(name, []byte(strings.ReplaceAll(text, e.old, e.new)), info.Mode().Perm()); err != nil {
		return answer{}, err
	}
	return answer{"replaced " + strconv.Itoa(count) + " in " + e.file, object{
		{"file_path", e.file},
		{"replacements", count},
		{"first_line", line},
	}}, nil
}
