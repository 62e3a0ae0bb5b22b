// Package engine runs containers as tasks of containerd, through its published API only.
package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	containers "github.com/containerd/containerd/api/services/containers/v1"
	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	version "github.com/containerd/containerd/api/services/version/v1"
	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/api/types/task"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"
)

const (
	// Namespace of containerd that services live in; LinuxKit's tools look there.
	Namespace = "services.linuxkit"
	// the shim that is started for each task
	shimName = "io.containerd.runc.v2"
	// how containerd's API marks a runtime specification (typeurl of containerd/v2/pkg/oci)
	specType = "types.containerd.io/opencontainers/runtime-spec/1/Spec"
	sigkill  = 9
)

// Runtime is the OCI runtime that shims start.
type Runtime struct {
	Binary string
	// Root is where it keeps its state; the shim adds the namespace
	Root string
}

// bundles is where containerd keeps a directory for each task (its plugin io.containerd.runtime.v2.task).
const bundles = "/run/containerd/io.containerd.runtime.v2.task"

// DefaultRuntime is what hullkit's systems have.
var DefaultRuntime = Runtime{"/usr/bin/runc", "/run/containerd/runc"}

// Engine runs containers by the services of a containerd. Calls to one that is another process wait for it while it does
// not answer (yet, or again), until their context ends.
type Engine struct {
	Runtime    Runtime
	Containers containers.ContainersClient
	Tasks      tasks.TasksClient
	// Version of containerd
	Version func(context.Context) (string, error)
	// Within makes calls go to the namespace
	Within func(context.Context) context.Context
}

// Dial makes an engine for the containerd at a socket, which need not be there yet.
func Dial(socket string, runtime Runtime) (*Engine, error) {
	connection, err := grpc.NewClient("unix:"+socket,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)),
		// containerd starts within a second or two, and init waits for it
		grpc.WithConnectParams(grpc.ConnectParams{
			Backoff:           backoff.Config{BaseDelay: 50 * time.Millisecond, Multiplier: 1.3, MaxDelay: 300 * time.Millisecond},
			MinConnectTimeout: 10 * time.Second,
		}),
		grpc.WithIdleTimeout(0),
	)
	if err != nil {
		return nil, err
	}
	return &Engine{
		Runtime:    runtime,
		Containers: containers.NewContainersClient(connection),
		Tasks:      tasks.NewTasksClient(connection),
		Version: func(ctx context.Context) (string, error) {
			answer, err := version.NewVersionClient(connection).Version(ctx, &emptypb.Empty{})
			return answer.GetVersion(), err
		},
		Within: func(ctx context.Context) context.Context {
			return metadata.AppendToOutgoingContext(ctx, "containerd-namespace", Namespace)
		},
	}, nil
}

// Create makes a container of a bundle and a task of it that has not been started, and returns the id of its first
// process. What an earlier run of the same name left is taken away. output is a FIFO for stdout and stderr.
func (e *Engine) Create(ctx context.Context, id, bundle, output string) (int, error) {
	ctx = e.Within(ctx)
	spec, err := readSpec(bundle, id)
	if err != nil {
		return 0, err
	}
	setting, err := anypb.New(&options.Options{BinaryName: e.Runtime.Binary, Root: e.Runtime.Root})
	if err != nil {
		return 0, err
	}
	// containerd's typeurl has no host before the name of a message
	setting.TypeUrl = string(setting.MessageName())
	request := &containers.CreateContainerRequest{Container: &containers.Container{
		ID:      id,
		Runtime: &containers.Container_Runtime{Name: shimName, Options: setting},
		Spec:    &anypb.Any{TypeUrl: specType, Value: spec},
	}}
	_, err = e.Containers.Create(ctx, request)
	if status.Code(err) == codes.AlreadyExists {
		if err := e.remove(ctx, id); err != nil {
			return 0, fmt.Errorf("what an earlier run left: %w", err)
		}
		_, err = e.Containers.Create(ctx, request)
	}
	if err != nil {
		return 0, err
	}
	answer, err := e.Tasks.Create(ctx, &tasks.CreateTaskRequest{
		ContainerID: id, Stdout: output, Stderr: output, Options: setting,
	})
	if err != nil {
		return 0, errors.Join(err, e.remove(ctx, id))
	}
	return int(answer.Pid), nil
}

// Start starts the program of a task.
func (e *Engine) Start(ctx context.Context, id string) error {
	_, err := e.Tasks.Start(e.Within(ctx), &tasks.StartRequest{ContainerID: id})
	return err
}

// Kill sends a signal to the first process of a task.
func (e *Engine) Kill(ctx context.Context, id string, signal int) error {
	_, err := e.Tasks.Kill(e.Within(ctx), &tasks.KillRequest{ContainerID: id, Signal: uint32(signal)})
	return err
}

// Wait waits for the end of a task's first process and returns its exit status: 128 and the signal's number if a signal
// ended it.
func (e *Engine) Wait(ctx context.Context, id string) (int, error) {
	answer, err := e.Tasks.Wait(e.Within(ctx), &tasks.WaitRequest{ContainerID: id})
	return int(answer.GetExitStatus()), err
}

// Delete takes away a task, running or not, and its container; what the task wrote has arrived when it returns.
func (e *Engine) Delete(ctx context.Context, id string) error { return e.remove(e.Within(ctx), id) }

func (e *Engine) remove(ctx context.Context, id string) error {
	_, err := e.Tasks.Delete(ctx, &tasks.DeleteTaskRequest{ContainerID: id})
	if err != nil && status.Code(err) != codes.NotFound {
		// it runs, as a rule; the code differs from version to version
		if err = e.end(ctx, id); err == nil {
			_, err = e.Tasks.Delete(ctx, &tasks.DeleteTaskRequest{ContainerID: id})
		}
	}
	if err != nil && status.Code(err) != codes.NotFound {
		return err
	}
	_, err = e.Containers.Delete(ctx, &containers.DeleteContainerRequest{ID: id})
	if err != nil && status.Code(err) != codes.NotFound {
		return err
	}
	return e.sweep(ctx, id)
}

// sweep takes away what is left of a task that containerd does not know any more: as a rule, nothing. A containerd that
// starts throws away tasks without processes. Where the shim has not noticed the end of the first process yet, that fails
// halfway: the shim and what the runtime keeps stay (and before containerd 2, the bundle), and no task of this name could
// be made. The shim is used again by the next one.
func (e *Engine) sweep(ctx context.Context, id string) error {
	root := filepath.Join(e.Runtime.Root, Namespace)
	if exists(filepath.Join(root, id)) {
		said, err := exec.CommandContext(ctx, e.Runtime.Binary, "--root", root, "delete", "--force", id).CombinedOutput()
		// somebody else may have done it meanwhile
		if err != nil && exists(filepath.Join(root, id)) {
			return fmt.Errorf("what is left of %s cannot be deleted: %w: %s", id, err, bytes.TrimSpace(said))
		}
	}
	return os.RemoveAll(filepath.Join(bundles, Namespace, id))
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// end kills a task and waits for its end.
func (e *Engine) end(ctx context.Context, id string) error {
	_, err := e.Tasks.Kill(ctx, &tasks.KillRequest{ContainerID: id, Signal: sigkill, All: true})
	if err == nil {
		_, err = e.Tasks.Wait(ctx, &tasks.WaitRequest{ContainerID: id})
	}
	if status.Code(err) == codes.NotFound {
		return nil
	}
	return err
}

// Task is what containerd says of a task.
type Task struct {
	ID    string `json:"id"`
	PID   int    `json:"pid"`
	State string `json:"state"`
}

var states = map[task.Status]string{
	task.Status_CREATED: "created",
	task.Status_RUNNING: "running",
	task.Status_STOPPED: "stopped",
	task.Status_PAUSED:  "paused",
	task.Status_PAUSING: "pausing",
}

// List lists all tasks of the namespace.
func (e *Engine) List(ctx context.Context) ([]Task, error) {
	answer, err := e.Tasks.List(e.Within(ctx), &tasks.ListTasksRequest{})
	if err != nil {
		return nil, err
	}
	found := []Task{}
	for _, each := range answer.Tasks {
		state := states[each.Status]
		if state == "" {
			state = "unknown"
		}
		found = append(found, Task{each.ID, int(each.Pid), state})
	}
	return found, nil
}
