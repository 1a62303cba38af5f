// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0
import {split_events} from './event_stream.js';

const api = 'api/1/';
const token_key = 'qemuctl-token';
const answer_time = 150_000; // starting or ending a VM takes its time
const picture_time = 10_000;
const quiet_time = 25_000;   // the service says something every 10 s

/// What the service refused, in words for people.
export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

const path = (...parts) => api + parts.map(encodeURIComponent).join('/');

/// Whether it can be sent as one.
export function is_token(text) {
  return /^[\x21-\x7e]+$/.test(text);
}

/// The REST API of the service that this page comes from.
export class Service {
  #last_id = '';

  remember_token(token) {
    sessionStorage.setItem(token_key, token);
  }

  has_token() {
    return sessionStorage.getItem(token_key) !== null;
  }

  async vms() {
    return (await this.#json('GET', path('vms'))).vms;
  }

  async devices() {
    return (await this.#json('GET', path('devices'))).devices;
  }

  /// What this person may do: `{everywhere, vms}`, levels in words.
  async permissions() {
    return this.#json('GET', path('permissions'));
  }

  /// Puts the device into that VM, or gives it to the host (null), unless it has changed since it was as `device` has it.
  move(device, vm) {
    const only_as_it_was = {'If-Match': device.etag};
    const place = path('devices', device.id, 'attachment');
    if (vm === null) return this.#json('DELETE', place, undefined, only_as_it_was);
    return this.#json('PUT', place, {vm}, only_as_it_was);
  }

  act(vm, action, body = {}) {
    return this.#json('POST', path('vms', vm, 'actions', action), body);
  }

  async explanation(device) {
    return (await this.#json('GET', path('devices', device, 'explanation'))).text;
  }

  /// A picture of the VM's screen.
  async screenshot(vm) {
    const url = path('vms', vm, 'screenshot.png');
    return (await this.#fetch('GET', url, undefined, {}, AbortSignal.timeout(picture_time))).blob();
  }

  /// What happens, as `{type, data}`, until the connection is lost or `signal` is aborted; then throws. It goes on where
  /// the last one ended.
  ///
  /// Not `EventSource`, which has no way to show a token.
  async *events(signal) {
    const ended = new AbortController();
    let timer = 0;
    const expect_more = () => {
      clearTimeout(timer);
      timer = setTimeout(() => ended.abort(new Error('the service is silent')), quiet_time);
    };
    try {
      expect_more();
      const headers = this.#last_id === '' ? {} : {'Last-Event-ID': this.#last_id};
      const response = await this.#fetch('GET', path('events'), undefined, headers, AbortSignal.any([ended.signal, signal]));
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let text = '';;) {
        const {done, value} = await reader.read();
        if (done) throw new Error('the service has ended the connection');
        expect_more();
        const {events, rest} = split_events(text + value);
        text = rest;
        for (const {type, id, data} of events) {
          yield {type, data: JSON.parse(data)};
          if (id !== null) this.#last_id = id; // only now it has been dealt with
        }
      }
    } finally {
      clearTimeout(timer);
      ended.abort();
    }
  }

  async #json(method, url, body, headers) {
    const response = await this.#fetch(method, url, body, headers);
    return response.status === 204 ? null : response.json();
  }

  async #fetch(method, url, body, headers = {}, signal = AbortSignal.timeout(answer_time)) {
    const options = {method, signal, headers: {...headers}, cache: 'no-store'};
    const token = sessionStorage.getItem(token_key);
    if (token !== null) options.headers.Authorization = `Bearer ${token}`;
    if (body !== undefined) {
      options.headers['Content-Type'] = 'application/json';
      options.body = JSON.stringify(body);
    }
    const response = await fetch(url, options);
    if (!response.ok) throw new Refused(response.status, await reason_of(response));
    return response;
  }
}

async function reason_of(response) {
  try {
    const {detail, title} = await response.json();
    return detail ?? title ?? `HTTP status ${response.status}`;
  } catch {
    return `HTTP status ${response.status}`;
  }
}
