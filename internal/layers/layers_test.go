// Package layers holds the rule of who may import whom.
package layers

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"strings"
	"testing"
)

type goPackage struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

// listPackages asks the go command about every package of the module.
func listPackages(t *testing.T) map[string]goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps", "boxfleet/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	list := map[string]goPackage{}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p goPackage
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list[p.ImportPath] = p
	}
}

// layer is the place of a package in limits <- artifacts <- jobs <- executor
// <- cmd/worker; -1 for packages outside of that line.
func layer(path string) int {
	for i, root := range []string{"boxfleet/limits", "boxfleet/artifacts", "boxfleet/jobs", "boxfleet/executor", "boxfleet/cmd/worker"} {
		if path == root || strings.HasPrefix(path, root+"/") {
			return i
		}
	}
	return -1
}

func TestLayersImportDownOnly(t *testing.T) {
	checked := 0
	for path, p := range listPackages(t) {
		from := layer(path)
		if from < 0 {
			continue
		}
		for _, imp := range p.Imports {
			if to := layer(imp); to > from {
				t.Errorf("%s imports %s: a lower layer may not import a higher one", path, imp)
			}
			checked++
		}
	}
	if checked < 50 {
		t.Fatalf("only %d imports looked at: the rule was not tested", checked)
	}
}

func TestLayersClientLinksNoEngine(t *testing.T) {
	list := listPackages(t)
	for _, client := range []string{"boxfleet/cmd/submit", "boxfleet/loadtest"} {
		p, ok := list[client]
		if !ok {
			t.Errorf("package %s is not there", client)
			continue
		}
		for _, dep := range p.Deps {
			if strings.HasPrefix(dep, "github.com/tetratelabs/wazero") || strings.HasPrefix(dep, "boxfleet/executor") || strings.HasPrefix(dep, "github.com/nats-io/nats-server/") {
				t.Errorf("%s links %s: the client needs no engine and no server", client, dep)
			}
		}
	}
}

func TestLayersMeteringStandsAlone(t *testing.T) {
	p, ok := listPackages(t)["boxfleet/limits/metering"]
	if !ok {
		t.Fatal("package boxfleet/limits/metering is not there")
	}
	for _, dep := range p.Deps {
		host, _, _ := strings.Cut(dep, "/") // a module's path begins with one, and that has a dot
		if strings.Contains(host, ".") || strings.HasPrefix(dep, "boxfleet/") && dep != p.ImportPath {
			t.Errorf("limits/metering depends on %s; it is to stand on the standard library alone", dep)
		}
	}
}
