// Opens HPKE messages of qnsp-policy with Go's own crypto/hpke (standard library, Go 1.26): an independent implementation.
// Reads JSON objects {alg, seed, public, enc, ciphertext, info} (hex) and writes one line a message.
package main

import (
	"bytes"
	"crypto/hpke"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
)

type message struct{ Alg, Seed, Public, Enc, Ciphertext, Info string }

func unhex(text string) []byte {
	data, err := hex.DecodeString(text)
	if err != nil {
		panic(err)
	}
	return data
}

func main() {
	kems := map[string]func() hpke.KEM{
		"X-Wing": hpke.MLKEM768X25519, "MLKEM1024-P384": hpke.MLKEM1024P384,
		"ML-KEM-1024": hpke.MLKEM1024, "ML-KEM-768": hpke.MLKEM768,
	}
	kdfs := map[string]func() hpke.KDF{
		"X-Wing": hpke.HKDFSHA256, "MLKEM1024-P384": hpke.HKDFSHA384,
		"ML-KEM-1024": hpke.HKDFSHA384, "ML-KEM-768": hpke.HKDFSHA256,
	}
	var messages []message
	if err := json.NewDecoder(os.Stdin).Decode(&messages); err != nil {
		panic(err)
	}
	for _, m := range messages {
		key, err := kems[m.Alg]().NewPrivateKey(unhex(m.Seed))
		if err != nil {
			panic(err)
		}
		sealed := append(unhex(m.Enc), unhex(m.Ciphertext)...)
		plain, err := hpke.Open(key, kdfs[m.Alg](), hpke.AES256GCM(), unhex(m.Info), sealed)
		fmt.Println(m.Alg, string(plain), err == nil && bytes.Equal(key.PublicKey().Bytes(), unhex(m.Public)))
	}
}
