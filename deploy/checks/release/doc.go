// Package release checks what makes a release: .goreleaser.yaml and deploy/release.sh say
// the same, the images are those that the chart and Compose name, and packages contain what
// is there.
package release
