// Package cluster keeps a view of a Kubernetes cluster that is always at hand.
package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	corelisters "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
)

// ErrNotReady is what a View answers until it has seen the whole cluster.
var ErrNotReady = errors.New("the cluster's state isn't known yet")

// Connect returns a client of the cluster that the kubeconfig file names, or,
// without a file, of the one that this program runs in. It is nil, without an
// error, where there is no cluster.
func Connect(kubeconfig string) (kubernetes.Interface, error) {
	// Asked with neither, BuildConfigFromFlags prints warnings of its own.
	var config *rest.Config
	var err error
	if kubeconfig != "" {
		config, err = clientcmd.BuildConfigFromFlags("", kubeconfig)
	} else if config, err = rest.InClusterConfig(); errors.Is(err, rest.ErrNotInCluster) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return kubernetes.NewForConfig(config)
}

// View is what informers know of a cluster.
type View struct {
	pods   corelisters.PodLister
	nodes  corelisters.NodeLister
	synced atomic.Bool
	leader atomic.Pointer[string]
}

// Watch starts to follow the cluster; the work ends with ctx.
func Watch(ctx context.Context, client kubernetes.Interface, group *sync.WaitGroup) *View {
	factory := informers.NewSharedInformerFactory(client, 10*time.Minute)
	v := &View{
		pods:  factory.Core().V1().Pods().Lister(),
		nodes: factory.Core().V1().Nodes().Lister(),
	}
	// A factory starts the informers that were asked for before.
	pods, nodes := factory.Core().V1().Pods().Informer(), factory.Core().V1().Nodes().Informer()
	factory.Start(ctx.Done())
	group.Go(func() {
		factory.WaitForCacheSync(ctx.Done())
		v.synced.Store(pods.HasSynced() && nodes.HasSynced())
		<-ctx.Done()
		factory.Shutdown()
	})
	return v
}

// Pod is the little that the API tells of a pod.
type Pod struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Phase     string `json:"phase"`
	Node      string `json:"node,omitempty"`
}

// Pods lists the pods of a namespace by name; an empty one means all.
func (v *View) Pods(namespace string) ([]Pod, error) {
	if !v.synced.Load() {
		return nil, ErrNotReady
	}
	found, err := v.pods.Pods(namespace).List(labels.Everything())
	if err != nil {
		return nil, err
	}
	pods := make([]Pod, len(found))
	for i, p := range found {
		pods[i] = Pod{Namespace: p.Namespace, Name: p.Name, Phase: string(p.Status.Phase), Node: p.Spec.NodeName}
	}
	slices.SortFunc(pods, func(a, b Pod) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return pods, nil
}

// Node is the little that the API tells of a node.
type Node struct {
	Name         string `json:"name"`
	Architecture string `json:"architecture"`
}

// Nodes lists the nodes by name.
func (v *View) Nodes() ([]Node, error) {
	if !v.synced.Load() {
		return nil, ErrNotReady
	}
	found, err := v.nodes.List(labels.Everything())
	if err != nil {
		return nil, err
	}
	nodes := make([]Node, len(found))
	for i, n := range found {
		nodes[i] = Node{Name: n.Name, Architecture: n.Status.NodeInfo.Architecture}
	}
	slices.SortFunc(nodes, func(a, b Node) int { return cmp.Compare(a.Name, b.Name) })
	return nodes, nil
}

// Leader is the name of the replica that leads; empty if it isn't known.
func (v *View) Leader() string {
	if p := v.leader.Load(); p != nil {
		return *p
	}
	return ""
}

// Elect takes part in the election of a leader until ctx ends.
func (v *View) Elect(ctx context.Context, client kubernetes.Interface, namespace string, group *sync.WaitGroup, log *slog.Logger) error {
	self, err := os.Hostname()
	if err != nil {
		return err
	}
	elector, err := leaderelection.NewLeaderElector(leaderelection.LeaderElectionConfig{
		Lock: &resourcelock.LeaseLock{
			LeaseMeta:  metav1.ObjectMeta{Name: "apiserver", Namespace: namespace},
			Client:     client.CoordinationV1(),
			LockConfig: resourcelock.ResourceLockConfig{Identity: self},
		},
		LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second, RetryPeriod: 2 * time.Second,
		ReleaseOnCancel: true,
		Callbacks: leaderelection.LeaderCallbacks{
			OnStartedLeading: func(context.Context) { log.Info("leading", "identity", self) },
			OnStoppedLeading: func() { log.Info("not leading", "identity", self) },
			OnNewLeader:      func(identity string) { v.leader.Store(&identity) },
		},
	})
	if err != nil {
		return err
	}
	group.Go(func() {
		for ctx.Err() == nil { // a leader that lost its lease stands again
			elector.Run(ctx)
		}
	})
	return nil
}
