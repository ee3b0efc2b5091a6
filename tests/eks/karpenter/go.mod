// Nothing is built from this module. Go fetches the one that it names, whose digest stands in go.sum, for the CRDs in it:
// those of Karpenter itself are there too, with the rules that the AWS provider's Helm chart adds to them.
module warmpod.dev/tests/karpenter

go 1.26.6

require github.com/aws/karpenter-provider-aws v1.14.1
