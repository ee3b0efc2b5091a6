// A server with the shape of S3 for benchmarks: lists and ranges of the files of a directory, over HTTP and HTTPS.
//
// It checks no signatures and is quick: plain HTTP goes out by sendfile(2). Two more ports limit every connection to
// -rate bytes a second, as S3 does. Its first line on stdout is a JSON object of its ports. It ends when stdin ends.
package main

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"flag"
	"fmt"
	"hash/crc64"
	"io"
	"io/fs"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"
)

const pageKeys = 1000

// CRC64NVME, reflected; Go inverts before and after as it demands.
var nvme = crc64.MakeTable(0x9a6c9329ac4bc9b5)

type object struct {
	key, path, etag, crc string
	size                 int64
	modified             time.Time
}

type store struct {
	keys    []string // bucket/key, sorted
	objects map[string]*object
}

type content struct {
	Key          string
	LastModified string
	ETag         string
	Size         int64
	StorageClass string
}

type prefixEntry struct{ Prefix string }

type listing struct {
	XMLName               xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ ListBucketResult"`
	Name                  string
	Prefix                string
	KeyCount              int
	MaxKeys               int
	IsTruncated           bool
	NextContinuationToken string `xml:",omitempty"`
	NextMarker            string `xml:",omitempty"`
	EncodingType          string `xml:",omitempty"`
	Contents              []content
	CommonPrefixes        []prefixEntry
}

func open(root string) (*store, error) {
	found := &store{objects: map[string]*object{}}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		information, err := entry.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		key := filepath.ToSlash(name)
		digest := sha256.Sum256([]byte(fmt.Sprint(key, information.Size(), information.ModTime())))
		// As of an upload in parts: nobody takes it for an MD5 and computes one.
		etag := `"` + hex.EncodeToString(digest[:16]) + `-8"`
		found.objects[key] = &object{key: key, path: path, etag: etag, size: information.Size(), modified: information.ModTime()}
		found.keys = append(found.keys, key)
		return nil
	})
	sort.Strings(found.keys)
	return found, err
}

// checksum reads every file once, which also leaves them in the page cache.
func (s *store) checksum() error {
	queue := make(chan *object)
	failures := make(chan error, 8)
	var workers sync.WaitGroup
	for range cap(failures) {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for one := range queue {
				if err := one.checksum(); err != nil {
					failures <- err
					return
				}
			}
		}()
	}
	for _, one := range s.objects {
		select {
		case queue <- one:
		case err := <-failures:
			return err
		}
	}
	close(queue)
	workers.Wait()
	close(failures)
	return <-failures
}

func (o *object) checksum() error {
	file, err := os.Open(o.path)
	if err != nil {
		return err
	}
	defer file.Close()
	digest := crc64.New(nvme)
	if _, err := io.CopyBuffer(struct{ io.Writer }{digest}, struct{ io.Reader }{file}, make([]byte, 1<<20)); err != nil {
		return err
	}
	o.crc = base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, digest.Sum64()))
	return nil
}

func (s *store) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "AmazonS3")
	w.Header().Set("X-Amz-Request-Id", "BENCH00000000001")
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		refuse(w, http.StatusNotImplemented, "NotImplemented")
		return
	}
	if key == "" {
		s.list(w, r, bucket)
		return
	}
	found := s.objects[bucket+"/"+key]
	if found == nil {
		refuse(w, http.StatusNotFound, "NoSuchKey")
		return
	}
	w.Header().Set("Etag", found.etag)
	w.Header().Set("Content-Type", "application/octet-stream")
	if found.crc != "" && r.Header.Get("Range") == "" && strings.EqualFold(r.Header.Get("X-Amz-Checksum-Mode"), "enabled") {
		w.Header().Set("X-Amz-Checksum-Crc64nvme", found.crc)
		w.Header().Set("X-Amz-Checksum-Type", "FULL_OBJECT")
	}
	file, err := os.Open(found.path)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "InternalError")
		return
	}
	defer file.Close()
	http.ServeContent(w, r, "", found.modified, file)
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<Error><Code>%s</Code><Message>%s</Message></Error>", code, code)
}

func (s *store) list(w http.ResponseWriter, r *http.Request, bucket string) {
	query := r.URL.Query()
	prefix, delimiter := query.Get("prefix"), query.Get("delimiter")
	after := max(query.Get("continuation-token"), query.Get("start-after"), query.Get("marker"))
	limit := pageKeys
	if asked, err := strconv.Atoi(query.Get("max-keys")); err == nil && asked < limit {
		limit = asked
	}
	encode := func(text string) string { return text }
	answer := listing{Name: bucket, MaxKeys: limit}
	if query.Get("encoding-type") == "url" {
		encode = func(text string) string {
			return strings.NewReplacer("+", "%20", "%2F", "/").Replace(url.QueryEscape(text))
		}
		answer.EncodingType = "url"
	}
	answer.Prefix = encode(prefix)
	last := ""
	seen := map[string]bool{}
	for at := sort.SearchStrings(s.keys, bucket+"/"+prefix); at < len(s.keys); at++ {
		key, here := strings.CutPrefix(s.keys[at], bucket+"/")
		if !here || !strings.HasPrefix(key, prefix) {
			break
		}
		common := ""
		if delimiter != "" {
			if head, _, cut := strings.Cut(key[len(prefix):], delimiter); cut {
				common = prefix + head + delimiter
			}
		}
		if key <= after || common != "" && (seen[common] || common <= after) {
			continue
		}
		if answer.KeyCount == limit {
			answer.IsTruncated = true
			answer.NextContinuationToken, answer.NextMarker = last, encode(last)
			break
		}
		answer.KeyCount++
		if common != "" {
			seen[common] = true
			answer.CommonPrefixes = append(answer.CommonPrefixes, prefixEntry{encode(common)})
			last = common
			continue
		}
		one := s.objects[s.keys[at]]
		modified := one.modified.UTC().Format("2006-01-02T15:04:05.000Z")
		answer.Contents = append(answer.Contents, content{encode(key), modified, one.etag, one.size, "STANDARD"})
		last = key
	}
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("X-Amz-Bucket-Region", "us-east-1")
	io.WriteString(w, xml.Header)
	xml.NewEncoder(w).Encode(answer)
}

func main() {
	root := flag.String("root", ".", "directory of buckets")
	certificate := flag.String("certificate", "", "PEM file")
	key := flag.String("key", "", "PEM file")
	rate := flag.Float64("rate", 24<<20, "bytes a second of a connection on the slow ports")
	flag.Parse()
	log.SetFlags(0)

	served, err := open(*root)
	if err != nil {
		log.Fatal(err)
	}
	if err := served.checksum(); err != nil {
		log.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(*certificate, *key)
	if err != nil {
		log.Fatal(err)
	}
	ports := map[string]int{}
	for _, name := range []string{"http", "https", "slow-http", "slow-https"} {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			log.Fatal(err)
		}
		ports[name] = listener.Addr().(*net.TCPAddr).Port
		if strings.HasPrefix(name, "slow") {
			listener = limitedListener{listener, *rate}
		}
		server := &http.Server{Handler: served, ErrorLog: log.New(io.Discard, "", 0)}
		if strings.HasSuffix(name, "https") {
			listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{pair}})
		}
		go func() { log.Fatal(server.Serve(listener)) }()
	}
	json.NewEncoder(os.Stdout).Encode(ports)
	io.Copy(io.Discard, os.Stdin)
}
