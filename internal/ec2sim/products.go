package ec2sim

import (
	"fmt"

	"spotkeeper/internal/ec2sim/client"
	"spotkeeper/internal/ec2sim/derive"
)

// The products that instances run: what EC2 calls platform details, and spot prices and the
// price list are kept by.
const (
	linux   = "Linux/UNIX"
	windows = "Windows"
	redHat  = "Red Hat Enterprise Linux"
	suse    = "SUSE Linux"
)

// osProduct is a product as the price list describes it.
type osProduct struct {
	name      string
	system    string                     // operatingSystem of the price list
	operation string                     // usage operation of the bill
	licence   func(instanceType) float64 // what it adds per hour, in us-east-1
}

var osProducts = []osProduct{
	{linux, "Linux", "RunInstances", func(instanceType) float64 { return 0 }},
	{windows, "Windows", "RunInstances:0002", func(t instanceType) float64 { return 0.046 * float64(t.vcpus) }},
	{redHat, "RHEL", "RunInstances:0010", func(t instanceType) float64 { return 0.0144 * float64(t.vcpus) }},
	{suse, "SUSE", "RunInstances:000g", func(instanceType) float64 { return 0.056 }},
}

func osProductNamed(name string) osProduct {
	for _, p := range osProducts {
		if p.name == name {
			return p
		}
	}
	return osProducts[0]
}

// ProductImage is the id of the public x86_64 image of a region with a product, as Windows.
func ProductImage(region, product string) string {
	if product == linux {
		return client.PublicImage(region, "x86_64")
	}
	return fmt.Sprintf("ami-0%016x", derive.MixWords(derive.HashText(region+"/"+product), 7))
}

// volumePrices are USD per GB and month in us-east-1.
var volumePrices = map[string]float64{"gp2": 0.10, "gp3": 0.08, "io1": 0.125, "io2": 0.125, "st1": 0.045, "sc1": 0.015,
	"standard": 0.05}
