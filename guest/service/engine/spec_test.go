package engine

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func bundleWith(t *testing.T, config string) string {
	t.Helper()
	bundle := t.TempDir()
	if err := os.WriteFile(filepath.Join(bundle, "config.json"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	return bundle
}

func TestSpecFitsContainerd(t *testing.T) {
	bundle := bundleWith(t, `{"root": {"path": "rootfs", "readonly": true}, "linux": {"seccomp": {"x": [1, 2.5]}}, "other": {"a": "ä"}}`)
	data, err := readSpec(bundle, "web")
	if err != nil {
		t.Fatal(err)
	}
	var spec map[string]any
	if err := json.Unmarshal(data, &spec); err != nil {
		t.Fatal(err)
	}
	root, linux := spec["root"].(map[string]any), spec["linux"].(map[string]any)
	if root["path"] != filepath.Join(bundle, "rootfs") || root["readonly"] != true {
		t.Errorf("root: %v", root)
	}
	if linux["cgroupsPath"] != "/services.linuxkit/web" || linux["seccomp"] == nil {
		t.Errorf("linux: %v", linux)
	}
	if spec["other"].(map[string]any)["a"] != "ä" {
		t.Errorf("other: %v", spec["other"])
	}
}

func TestSpecKeepsWhatItSays(t *testing.T) {
	data, err := readSpec(bundleWith(t, `{"root": {"path": "/somewhere"}, "linux": {"cgroupsPath": "/mine"}}`), "web")
	if err != nil || !strings.Contains(string(data), `"/somewhere"`) || !strings.Contains(string(data), `"/mine"`) {
		t.Errorf("%s, %v", data, err)
	}
}

func TestBadSpecs(t *testing.T) {
	for config, says := range map[string]string{
		`{`:                                  "config.json",
		`[]`:                                 "config.json",
		`{"linux": {}}`:                      "root",
		`{"root": {"path": "x"}}`:            "linux",
		`{"root": 1, "linux": {}}`:           "root",
		`{"root": null, "linux": {}}`:        "root",
		`{"root": {}, "linux": {}}`:          "root.path",
		`{"root": {"path": 1}, "linux": {}}`: "root.path",
		`{"root": {"path": "x"}, "linux": {"cgroupsPath": 1}}`: "cgroupsPath",
	} {
		if _, err := readSpec(bundleWith(t, config), "web"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", config, err)
		}
	}
	if _, err := readSpec(t.TempDir(), "web"); !os.IsNotExist(err) {
		t.Error(err)
	}
}
