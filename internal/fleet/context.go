// Package fleet finds the fleet that a command talks to. A context is a small
// file with addresses and credentials; `worker dev` writes one and makes it
// the current one, so that `submit` and `worker run` need no flags.
package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"boxfleet/artifacts"
	"boxfleet/internal/strictjson"
	"boxfleet/jobs"
)

// EnvContext names the environment variable that holds the path of a context
// file, or of the directory it lies in, and wins over the current context.
const EnvContext = "BOXFLEET_CONTEXT"

// FileName is the context file's name in a data directory.
const FileName = "context.json"

// NATS says how to reach the queue.
type NATS struct {
	URL       string `json:"url"`
	User      string `json:"user,omitempty"`
	Password  string `json:"password,omitempty"`
	CredsFile string `json:"creds_file,omitempty"`
	CAFile    string `json:"ca_file,omitempty"`
	CertFile  string `json:"cert_file,omitempty"`
	KeyFile   string `json:"key_file,omitempty"`
}

// S3 says how to reach the object store.
type S3 struct {
	Endpoint  string `json:"endpoint"`
	Region    string `json:"region,omitempty"`
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
	Bucket    string `json:"bucket,omitempty"`
	// CAFile verifies the server's certificate; the system's authorities when
	// empty.
	CAFile string `json:"ca_file,omitempty"`
}

// Context is everything a command needs to know of a fleet.
type Context struct {
	NATS   NATS   `json:"nats"`
	S3     S3     `json:"s3"`
	Tenant string `json:"tenant,omitempty"`
	// HTTP is the base URL of a worker's HTTP side; `worker dev` keeps recent
	// traces there.
	HTTP string `json:"http,omitempty"`
	// OTLP is the base URL spans go to when no OTEL_* variable says otherwise.
	OTLP string `json:"otlp,omitempty"`

	// Path is where the context was read from; "" if from nowhere.
	Path string `json:"-"`
}

// ErrNoContext says that no context is set.
var ErrNoContext = errors.New("no fleet is set: start one with `worker dev`, or name one with --context FILE, $" + EnvContext + ", or --nats and --s3-endpoint")

// Conn gives the settings of the NATS connection.
func (c *Context) Conn(name string) jobs.ConnConfig {
	return jobs.ConnConfig{
		URL: c.NATS.URL, User: c.NATS.User, Password: c.NATS.Password, CredsFile: c.NATS.CredsFile,
		CAFile: c.NATS.CAFile, CertFile: c.NATS.CertFile, KeyFile: c.NATS.KeyFile, Name: name,
	}
}

// Store gives the settings of the object store.
func (c *Context) Store() artifacts.Config {
	return artifacts.Config{
		Endpoint: c.S3.Endpoint, Region: c.S3.Region, AccessKey: c.S3.AccessKey,
		SecretKey: artifacts.Secret(c.S3.SecretKey), Bucket: c.S3.Bucket, CAFile: c.S3.CAFile,
	}
}

// Load reads the context that path names: a file, or a directory with a
// context.json. An empty path means $BOXFLEET_CONTEXT, then the current
// context. It gives ErrNoContext when there is none.
func Load(path string) (*Context, error) {
	if path == "" {
		path = os.Getenv(EnvContext)
	}
	if path == "" {
		pointer, err := pointerFile()
		if err != nil {
			return nil, ErrNoContext
		}
		data, err := os.ReadFile(pointer)
		if err != nil {
			return nil, ErrNoContext
		}
		path = strings.TrimSpace(string(data))
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("the current context %s is gone: %w", path, ErrNoContext)
		}
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, FileName)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the fleet context: %w", err)
	}
	var c Context
	if err := strictjson.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("read the fleet context %s: %w", path, err)
	}
	c.Path = path
	return &c, nil
}

// Save writes the context into dir with mode 0600, at once or not at all.
func (c *Context) Save(dir string) (path string, err error) {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return "", fmt.Errorf("write the fleet context: %w", err)
	}
	path = filepath.Join(dir, FileName)
	if err := writeFile(path, append(data, '\n')); err != nil {
		return "", fmt.Errorf("write the fleet context: %w", err)
	}
	return path, nil
}

// MakeCurrent lets commands without --context use the context file at path.
func MakeCurrent(path string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return fmt.Errorf("make %s the current context: %w", path, err)
	}
	pointer, err := pointerFile()
	if err == nil {
		err = os.MkdirAll(filepath.Dir(pointer), 0o700)
	}
	if err == nil {
		err = writeFile(pointer, []byte(abs+"\n"))
	}
	if err != nil {
		return fmt.Errorf("make %s the current context: %w", path, err)
	}
	return nil
}

// pointerFile is where the path of the current context is kept.
func pointerFile() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "boxfleet", "current"), nil
}

func writeFile(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(tmp.Name()) }()
	if _, err := tmp.Write(data); err != nil { // CreateTemp makes files 0600
		_ = tmp.Close()
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}
