package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	containers "github.com/containerd/containerd/api/services/containers/v1"
	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/pkg/sys"
	"github.com/containerd/containerd/v2/pkg/timeout"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/containerd/v2/plugins/services"
	"github.com/containerd/containerd/v2/version"
	"github.com/containerd/plugin"
	"github.com/containerd/ttrpc"
	"google.golang.org/grpc"

	"hullkit/guest/service/engine"
)

const (
	// the last one that the kernel may kill for want of memory
	oomScore = -999
	// as containerd's shims: a daemon that sleeps most of the time needs little
	gcPercent = 40
	// how long a shim may take to answer. One that takes longer when containerd starts is killed with what it runs:
	// containerd's own 2 to 5 s are too few for a busy or emulated machine. catalogue/containerd has the same
	patience = 30 * time.Second
)

// runDaemon serves containerd's API, and init, until it is told to end.
func runDaemon() error {
	debug.SetGCPercent(gcPercent)
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer cancel()
	if err := sys.SetOOMScore(os.Getpid(), oomScore); err != nil {
		fmt.Fprintln(os.Stderr, "containerd:", err)
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return err
	}
	if err := os.MkdirAll(state, 0o711); err != nil {
		return err
	}
	for _, call := range []string{"shim.load", "shim.cleanup", "shim.shutdown", "task.state"} {
		timeout.Set("io.containerd.timeout."+call, patience)
	}
	started, err := start(ctx)
	if err != nil {
		return err
	}
	failed := make(chan error, 3)
	if err := serveAPI(started, failed); err != nil {
		return err
	}
	if init, err := engine.Init(); err == nil {
		own, err := newEngine(started)
		if err != nil {
			return err
		}
		go func() { failed <- engine.Serve(init, own) }()
	}
	debug.FreeOSMemory()
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return err
	}
}

// serveAPI listens at the two sockets: that of clients (gRPC), and that of shims, which tell events (ttrpc).
func serveAPI(started *plugin.Set, failed chan<- error) error {
	clients := grpc.NewServer(grpc.UnaryInterceptor(passNamespace), grpc.StreamInterceptor(passStreamNamespace))
	shims, err := ttrpc.NewServer(ttrpc.WithServerHandshaker(ttrpc.UnixSocketRequireSameUser()))
	if err != nil {
		return err
	}
	for _, each := range started.GetAll() {
		instance, err := each.Instance()
		if err != nil {
			return err
		}
		if service, ok := instance.(interface{ Register(*grpc.Server) error }); ok {
			if err := service.Register(clients); err != nil {
				return err
			}
		}
		if service, ok := instance.(interface{ RegisterTTRPC(*ttrpc.Server) error }); ok {
			if err := service.RegisterTTRPC(shims); err != nil {
				return err
			}
		}
	}
	for path, serve := range map[string]func(net.Listener) error{
		address: clients.Serve,
		address + ".ttrpc": func(listener net.Listener) error {
			return shims.Serve(context.Background(), listener)
		},
	} {
		listener, err := sys.GetLocalListener(path, os.Getuid(), os.Getgid())
		if err != nil {
			return err
		}
		go func() { failed <- serve(listener) }()
	}
	return nil
}

// passNamespace makes the namespace that a client named that of the calls made on its behalf.
func passNamespace(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	return handle(withNamespace(ctx), request)
}

func passStreamNamespace(service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
	return handle(service, namespacedStream{stream, withNamespace(stream.Context())})
}

func withNamespace(ctx context.Context) context.Context {
	if name, ok := namespaces.Namespace(ctx); ok {
		return namespaces.WithNamespace(ctx, name)
	}
	return ctx
}

type namespacedStream struct {
	grpc.ServerStream
	ctx context.Context
}

func (s namespacedStream) Context() context.Context { return s.ctx }

// newEngine makes an engine that calls the services of this process, without a socket between.
func newEngine(started *plugin.Set) (*engine.Engine, error) {
	instance := func(id string) (any, error) {
		return started.Get(plugins.ServicePlugin, id).Instance()
	}
	inside, err := instance(services.ContainersService)
	if err != nil {
		return nil, err
	}
	running, err := instance(services.TasksService)
	if err != nil {
		return nil, err
	}
	return &engine.Engine{
		Runtime:    engine.DefaultRuntime,
		Containers: inside.(containers.ContainersClient),
		Tasks:      running.(tasks.TasksClient),
		// what a build with make would put behind the + is not known here
		Version: func(context.Context) (string, error) { return strings.TrimSuffix(version.Version, "+unknown"), nil },
		Within:  func(ctx context.Context) context.Context { return namespaces.WithNamespace(ctx, engine.Namespace) },
	}, nil
}
