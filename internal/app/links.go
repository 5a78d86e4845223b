package app

import "spotkeeper/internal/domain/approval"

// links sign the links with which a webhook's receiver answers a question. Without keys of
// the deployment or its address there are none.
func (a *App) links() approval.Links {
	keys, err := a.Config.Secrets.SealingKeys()
	if err != nil || !a.Config.Secrets.AreGiven() {
		return approval.Links{}
	}
	return approval.Links{Base: a.Config.API.PublicURL, Keys: keys.Secrets()}
}
