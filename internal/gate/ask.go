package gate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// decode reads the request's payload into q: one JSON object, no unknown field.
func (r *request) decode(q any) error {
	if len(bytes.TrimSpace(r.data)) == 0 {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(r.data))
	dec.DisallowUnknownFields()
	err := dec.Decode(q)
	if err == nil {
		if _, extra := dec.Token(); extra != io.EOF {
			err = errors.New("more data after it")
		}
	}
	if err != nil {
		return refuse("its payload is not understood: %v", err)
	}
	return nil
}

// apiCall passes a request of JetStream's API on with a payload of our own.
// The only header it may have had is the API level a client library asks for.
func (r *request) apiCall(subject string, payload any, ev *event) (*action, error) {
	if err := r.apiHeaders(); err != nil {
		return nil, err
	}
	data, err := encode(payload)
	if err != nil {
		return nil, err
	}
	return &action{out: &nats.Msg{Subject: subject, Data: data}, event: ev}, nil
}

// apiHeaders refuses headers of requests that have none by themselves. The
// level is dropped: streams' features are the fleet's to know.
func (r *request) apiHeaders() error {
	_, err := r.checkHeaders(map[string]func(string) error{"Nats-Required-Api-Level": number})
	return err
}

// encode gives a payload, which some requests must not have: nil for none.
func encode(payload any) ([]byte, error) {
	if payload == nil {
		return nil, nil
	}
	return json.Marshal(payload)
}

// call asks JetStream's API with the gate's own inbox.
func (g *Gate) call(subject string, payload, answer any) error {
	data, err := encode(payload)
	if err != nil {
		return err
	}
	reply, err := g.nc.Request("$JS.API."+subject, data, askTimeout)
	if err != nil {
		return fmt.Errorf("ask the server (%s): %w", subject, err)
	}
	var head struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(reply.Data, &head); err != nil {
		return fmt.Errorf("ask the server (%s): the answer is not JSON: %w", subject, err)
	}
	if head.Error != nil {
		return head.Error
	}
	return json.Unmarshal(reply.Data, answer)
}

// stored is a message as the API gives it.
type stored struct {
	Subject string    `json:"subject"`
	Seq     uint64    `json:"seq"`
	Header  []byte    `json:"hdrs"`
	Data    []byte    `json:"data"`
	Time    time.Time `json:"time"`
}

// marker tells whether the message stands for a key that was removed.
func (s *stored) marker() bool { return len(s.Header) > 0 && len(s.Data) == 0 }

// message reads one message from a stream's leader; nil when there is none.
func (g *Gate) message(stream string, query any) (*stored, error) {
	var answer struct {
		Message stored `json:"message"`
	}
	err := g.call("STREAM.MSG.GET."+stream, query, &answer)
	if api, ok := errors.AsType[*jetstream.APIError](err); ok && api.ErrorCode == jetstream.JSErrCodeMessageNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &answer.Message, nil
}
