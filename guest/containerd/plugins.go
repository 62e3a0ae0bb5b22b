package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/events"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	bolt "go.etcd.io/bbolt"

	// shims and tasks
	_ "github.com/containerd/containerd/v2/core/runtime/v2"
	_ "github.com/containerd/containerd/v2/plugins/events"
	_ "github.com/containerd/containerd/v2/plugins/services/containers"
	_ "github.com/containerd/containerd/v2/plugins/services/events"
	_ "github.com/containerd/containerd/v2/plugins/services/namespaces"
	_ "github.com/containerd/containerd/v2/plugins/services/tasks"
	_ "github.com/containerd/containerd/v2/plugins/services/version"
	_ "github.com/containerd/containerd/v2/plugins/services/warning"
)

const (
	// root is on a tmpfs: what containerd knows goes with the machine, as its tasks do
	root    = "/var/lib/containerd"
	state   = "/run/containerd"
	address = state + "/containerd.sock"
)

// containerd's own plugin of the metadata wants a snapshotter, and waits for the disk after each change.
func init() {
	registry.Register(&plugin.Registration{
		Type:     plugins.MetadataPlugin,
		ID:       "bolt",
		Requires: []plugin.Type{plugins.EventPlugin},
		InitFn: func(ic *plugin.InitContext) (any, error) {
			publisher, err := ic.GetSingle(plugins.EventPlugin)
			if err != nil {
				return nil, err
			}
			return openMetadata(ic.Context, ic.Properties[plugins.PropertyRootDir], publisher.(events.Publisher))
		},
	})
}

func openMetadata(ctx context.Context, directory string, publisher events.Publisher) (*metadata.DB, error) {
	if err := os.MkdirAll(directory, 0o711); err != nil {
		return nil, err
	}
	store, err := local.NewStore(filepath.Join(directory, "content"))
	if err != nil {
		return nil, err
	}
	options := *bolt.DefaultOptions
	options.NoFreelistSync, options.NoStatistics, options.NoSync, options.NoGrowSync = true, true, true, true
	file, err := bolt.Open(filepath.Join(directory, "meta.db"), 0o600, &options)
	if err != nil {
		return nil, err
	}
	db := metadata.NewDB(file, store, nil, metadata.WithEventsPublisher(publisher))
	return db, db.Init(ctx)
}

// start starts every plugin that this program has. All are needed, so that one that cannot start is an error.
func start(ctx context.Context) (*plugin.Set, error) {
	started := plugin.NewPluginSet()
	common := map[string]string{
		plugins.PropertyGRPCAddress: address, plugins.PropertyTTRPCAddress: address + ".ttrpc",
	}
	for _, registration := range registry.Graph(func(*plugin.Registration) bool { return false }) {
		properties := maps.Clone(common)
		properties[plugins.PropertyRootDir] = filepath.Join(root, registration.URI())
		properties[plugins.PropertyStateDir] = filepath.Join(state, registration.URI())
		ic := plugin.NewContext(ctx, started, properties)
		ic.Config = registration.Config
		ic.RegisterReadiness = func() func() { return func() {} }
		result := registration.Init(ic)
		if err := started.Add(result); err != nil {
			return nil, err
		}
		if err := result.Err(); err != nil {
			return nil, fmt.Errorf("%s: %w", registration.URI(), err)
		}
	}
	return started, nil
}
