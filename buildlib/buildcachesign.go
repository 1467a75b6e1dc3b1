package buildlib

import (
	"errors"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/multimage/multimage/buildlib/internal/evidence"
)

// cacheType is the predicate type of a build cache's signature, so that no other
// signature by the same key will do.
const cacheType = "https://github.com/multimage/multimage/build-cache/v1"

// sign returns a function that signs the configuration of an image of the cache; nil
// if the project signs nothing.
func (c *buildCache) sign() func(v1.Hash) (string, error) {
	if c.key == nil {
		return nil
	}
	return func(config v1.Hash) (string, error) {
		if !c.key.CanSign() {
			return "", errors.New("Sign names a public key, which can't sign")
		}
		statement, err := evidence.NewStatement(&evidence.Subject{Digest: config}, cacheType, []byte("{}"))
		if err != nil {
			return "", err
		}
		bundle, err := evidence.Sign(c.key, statement)
		return string(bundle), err
	}
}

// checkSignature is an error unless the project's key, if there is one, has signed
// the configuration.
func (c *buildCache) checkSignature(config v1.Hash, signature string) error {
	if c.key == nil {
		return nil
	}
	if signature == "" {
		return errors.New("it is not signed, and the project signs")
	}
	s, err := evidence.Open([]byte(signature), config, c.key)
	if err == nil && s.PredicateType != cacheType {
		err = errors.New("its signature is of something else")
	}
	return err
}
