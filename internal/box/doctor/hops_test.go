package doctor_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"spotkeeper/internal/box/doctor"
	"spotkeeper/internal/box/imds"
	"spotkeeper/internal/box/settings"
	"spotkeeper/internal/testkit/subprocess"
)

// Three network namespaces are a host's metadata service, an instance, and a container on that
// instance, which reaches the service through the instance. The kernel counts the hops.
const (
	roleVariable = "DOCTOR_TEST_ROLE" // makes this test program a part of the network
	hopsVariable = "DOCTOR_TEST_HOPS" // the service's hop limit

	serviceAddress = "169.254.169.254"
	nearInstance   = "169.254.169.253" // the instance's address beside the service
	bridgeAddress  = "172.31.0.1"      // the instance's address beside its container
	containerRange = "172.31.0.0/24"
)

// answersWithin is how long an answer that comes may take on a machine that has other work.
const answersWithin = 20 * time.Second

// seen is what a part of the network sees of the service.
type seen struct {
	Answer string
	Error  string
	Mend   string // of the doctor
}

// playRole is the program of one namespace.
func playRole(role string) error {
	switch role {
	case "service":
		return serveMetadata()
	case "container":
		if err := awaitLink("link set lo up", "link set c1 up", "addr add 172.31.0.2/24 dev c1",
			"route add default via "+bridgeAddress); err != nil {
			return err
		}
		if os.Getenv(hopsVariable) == "1" {
			return look(time.Second) // no answer comes
		}
		return look(answersWithin)
	}
	return playInstance()
}

// awaitLink configures the namespace when its end of a link is there.
func awaitLink(commands ...string) error {
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		return err
	}
	return configure(commands...)
}

func configure(commands ...string) error {
	for _, command := range commands {
		if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil { //nolint:noctx,gosec // a test
			return fmt.Errorf("ip %s: %w: %s", command, err, out)
		}
	}
	return nil
}

// serveMetadata answers as the metadata service does: packets of the answer to PUT cross as many
// hops as the limit says.
func serveMetadata() error {
	hops, err := strconv.Atoi(os.Getenv(hopsVariable))
	if err != nil {
		return err
	}
	if err := awaitLink("link set lo up", "link set m1 up", "addr add "+serviceAddress+"/30 dev m1",
		"route add "+containerRange+" via "+nearInstance); err != nil {
		return err
	}
	type connection struct{}
	server := &http.Server{
		Addr:              serviceAddress + ":80",
		ReadHeaderTimeout: 5 * time.Second,
		ConnContext:       func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connection{}, c) },
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut {
				if err := limitHops(r.Context().Value(connection{}).(*net.TCPConn), hops); err != nil {
					http.Error(w, err.Error(), http.StatusInternalServerError)
				}
				w.Header().Set("X-aws-ec2-metadata-token-ttl-seconds", "21600")
				w.Header().Set("Connection", "close")
			}
			_, _ = io.WriteString(w, "i-0123456789abcdef0")
		}),
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", server.Addr)
	if err != nil {
		return err
	}
	fmt.Println("listening")
	return server.Serve(listener)
}

func limitHops(c *net.TCPConn, hops int) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var refused error
	err = raw.Control(func(fd uintptr) {
		refused = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_TTL, hops)
	})
	return errors.Join(err, refused)
}

// look reads the service as the agent does, and asks the doctor.
func look(patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	defer cancel()
	meta := imds.New(imds.Options{Timeout: patience})
	defer meta.Close()
	var out seen
	text, err := meta.Text(ctx, "meta-data/instance-id")
	out.Answer = text
	if err != nil {
		out.Error = err.Error()
	}
	s := settings.Default()
	s.IMDS.Timeout = patience
	for _, f := range doctor.Examine(ctx, "agent.yaml", s, errors.New("there is none"), "5.0.0") {
		if f.Check == "metadata service" {
			out.Mend = f.Mend
		}
	}
	return json.NewEncoder(os.Stdout).Encode(out)
}

// playInstance makes the network, and prints what the instance and then the container sees.
func playInstance() error {
	service, service1, err := child("service")
	if err != nil {
		return err
	}
	container, container1, err := child("container")
	if err != nil {
		return err
	}
	if err := configure("link set lo up",
		fmt.Sprintf("link add m0 type veth peer name m1 netns %d", service.Process.Pid),
		"addr add "+nearInstance+"/30 dev m0", "link set m0 up",
		fmt.Sprintf("link add c0 type veth peer name c1 netns %d", container.Process.Pid),
		"addr add "+bridgeAddress+"/24 dev c0", "link set c0 up"); err != nil {
		return err
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o600); err != nil {
		return err
	}
	if _, err := service1.start(); err != nil {
		return err
	}
	if err := look(answersWithin); err != nil {
		return err
	}
	said, err := container1.start()
	if err != nil {
		return err
	}
	fmt.Print(said)
	return container.Wait()
}

// pipes are a child's input and output.
type pipes struct {
	in  io.WriteCloser
	out *bufio.Reader
}

// start has the child configure its namespace, and returns the first line that it prints.
func (p pipes) start() (string, error) {
	if _, err := io.WriteString(p.in, "\n"); err != nil {
		return "", err
	}
	return p.out.ReadString('\n')
}

// child starts this program in a network namespace of its own.
func child(role string) (*exec.Cmd, pipes, error) {
	cmd := exec.Command(os.Args[0]) //nolint:noctx,gosec // it ends with its parent
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = subprocess.EndsWithParent(syscall.SIGKILL)
	cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, pipes{}, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, pipes{}, err
	}
	return cmd, pipes{in, bufio.NewReader(out)}, cmd.Start()
}

// TestHopLimit: with a hop limit of 1 the token reaches the instance and no container on it, and
// the doctor in the container says so. With 2 it reaches both.
func TestHopLimit(t *testing.T) {
	t.Parallel()
	for hops, inContainer := range map[int]bool{1: false, 2: true} {
		t.Run(strconv.Itoa(hops), func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, os.Args[0])
			cmd.Env = append(os.Environ(), roleVariable+"=instance", hopsVariable+"="+strconv.Itoa(hops))
			cmd.SysProcAttr = subprocess.EndsWithParent(syscall.SIGKILL)
			cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
			var trouble bytes.Buffer
			cmd.Stderr = &trouble
			out, err := cmd.Output()
			require.NoError(t, err, trouble.String())
			lines := json.NewDecoder(bytes.NewReader(out))
			var instance, container seen
			require.NoError(t, lines.Decode(&instance), string(out))
			require.NoError(t, lines.Decode(&container), string(out))
			require.Equal(t, seen{Answer: "i-0123456789abcdef0"}, instance)
			if inContainer {
				require.Equal(t, instance, container)
				return
			}
			require.Empty(t, container.Answer)
			require.NotEmpty(t, container.Error)
			require.Contains(t, container.Mend, "--http-put-response-hop-limit 2")
		})
	}
}
