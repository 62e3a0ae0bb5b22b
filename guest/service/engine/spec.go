package engine

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// readSpec reads a bundle's config.json (OCI runtime specification) and fits it to containerd, whose own bundle is
// elsewhere: the path of the root becomes absolute. A container without a cgroup gets one.
func readSpec(bundle, id string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(bundle, "config.json"))
	if err != nil {
		return nil, err
	}
	var spec, root, linux map[string]json.RawMessage
	if err := json.Unmarshal(data, &spec); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	for key, part := range map[string]*map[string]json.RawMessage{"root": &root, "linux": &linux} {
		if err := json.Unmarshal(spec[key], part); err != nil || *part == nil {
			return nil, fmt.Errorf("config.json: %s is no object: %w", key, err)
		}
	}
	var path, cgroup string
	if err := json.Unmarshal(root["path"], &path); err != nil {
		return nil, fmt.Errorf("config.json: root.path: %w", err)
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(bundle, path)
	}
	root["path"] = encoded(path)
	if linux["cgroupsPath"] != nil {
		if err := json.Unmarshal(linux["cgroupsPath"], &cgroup); err != nil {
			return nil, fmt.Errorf("config.json: linux.cgroupsPath: %w", err)
		}
	}
	if cgroup == "" {
		linux["cgroupsPath"] = encoded("/" + Namespace + "/" + id)
	}
	spec["root"], spec["linux"] = encoded(root), encoded(linux)
	return json.Marshal(spec)
}

// encoded is for what always can be: texts, and objects that have been decoded.
func encoded(value any) json.RawMessage {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return data
}
