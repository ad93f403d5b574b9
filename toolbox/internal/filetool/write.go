package filetool

import (
	"os"
	"path"
	"strconv"

	"boxfleet/toolbox/internal/command"
)

// Write puts content into a file, over what was there.
func Write(args []string, s command.Streams) int {
	var file, content string
	fileOption := command.String(&file, "file-path", "The file; directories above it are made as needed").Required()
	contentOption := command.String(&content, "content", "All that the file will hold").Required()
	cmd := &command.Command{
		Name: "file-write", Version: "1.0.0", Permission: "write",
		Description: "Write a file, over what was there. Answers with JSON: content, is_error, metadata.",
		Keywords:    []string{"file", "write", "create", "save", "overwrite"},
		Positional:  []*command.Option{fileOption, contentOption},
		Options:     []*command.Option{fileOption, contentOption},
	}
	return run(cmd, args, s, func(s command.Streams) (answer, error) {
		name := s.Path(file)
		_, err := os.Stat(name)
		created := os.IsNotExist(err)
		if err := os.MkdirAll(path.Dir(name), 0o755); err != nil {
			return answer{}, err
		}
		if err := replaceFile(name, []byte(content), 0o644); err != nil {
			return answer{}, err
		}
		return answer{"wrote " + strconv.Itoa(len(content)) + " bytes to " + file, object{
			{"file_path", file},
			{"bytes", len(content)},
			{"created", created},
		}}, nil
	})
}
