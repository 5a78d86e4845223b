// Package identity has the tests in which operators log in at a real OpenID Connect
// provider, in this process. The provider is the example of github.com/zitadel/oidc
// (Apache-2.0).
package identity
