// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0

// What the page knows, and what becomes of it. Pure functions; states are never changed, but replaced.

const longest_log = 200;

export const initial_state = {
  connection: 'connecting', // 'live', 'lost', 'refused' (a token is needed)
  permissions: {everywhere: 'admin', vms: {}}, // what this person may do, everywhere and with single VMs
  version: '',
  devices: new Map(),  // by id, as the API has them
  vms: new Map(),      // by name
  busy: new Map(),     // what people have asked for and is not done yet: text by id, VMs as "vm:NAME"
  screens: new Map(),  // pictures by the name of the VM: {url} or {problem}
  log: [],             // newest first: {number, time, kind, text}
  filter: '',
  dragged: null,       // the id of a device
  over: null,          // where it would be dropped
  menu: null,          // the id of the device whose menu is open
  dialog: null,        // {kind: 'token' | 'stop' | 'reset' | 'explanation', ...}
  error: null,         // what went wrong last, until it is dismissed
  announcement: '',    // for those who do not see the page
};

function with_entry(map, key, value) {
  return new Map(map).set(key, value);
}

function without_entry(map, key) {
  const result = new Map(map);
  result.delete(key);
  return result;
}

function with_line(state, kind, text) {
  const number = state.log.length === 0 ? 0 : state.log[0].number + 1;
  const line = {number, time: new Date(), kind, text};
  return {...state, log: [line, ...state.log.slice(0, longest_log - 1)]};
}

/// Neither a menu of a device that has gone, nor the picture of a VM that does not run.
function without_what_is_gone(state) {
  const same = id => (state.devices.has(id) ? id : null);
  const ended = [...state.screens.keys()].filter(vm => !state.vms.get(vm)?.running);
  return {
    ...state,
    dragged: same(state.dragged),
    menu: same(state.menu),
    screens: ended.length === 0 ? state.screens : ended.reduce(without_entry, state.screens),
  };
}

/// What a notification of the service says.
export function sentence(notification) {
  const {what, description, vm, text} = notification;
  const sentences = {
    connected: `${description} was plugged in`,
    disconnected: `${description} was unplugged`,
    attached: `${description} is in VM ${vm} now`,
    detached: `${description} was taken out of VM ${vm}`,
    question: `${description}: which VM is it for?`,
    problem: `${description}: ${text}`,
  };
  return sentences[what] ?? `${description}: ${what}`;
}

/// The state after `event`, which is one of the service's or of the page.
export function reduce(state, event) {
  const {type, data} = event;
  switch (type) {
    case 'hello':
      return {...state, connection: 'live', version: data.version, announcement: 'Connected'};
    case 'connection':
      if (state.connection === data) return state;
      return {...state, connection: data, announcement: data === 'lost' ? 'Connection lost' : state.announcement};
    case 'picture':
      return without_what_is_gone({
        ...state,
        permissions: data.permissions,
        devices: new Map(data.devices.map(device => [device.id, device])),
        vms: new Map(data.vms.map(vm => [vm.name, vm])),
      });
    case 'device':
      return {...state, devices: with_entry(state.devices, data.id, data)};
    case 'device-removed':
      return without_what_is_gone({...state, devices: without_entry(state.devices, data.id)});
    case 'vm':
      return without_what_is_gone({...state, vms: with_entry(state.vms, data.name, data)});
    case 'vm-removed':
      return without_what_is_gone({...state, vms: without_entry(state.vms, data.name)});
    case 'notification': {
      const text = sentence(data);
      return {...with_line(state, data.what, text), announcement: text};
    }
    case 'busy':
      return {...state, busy: with_entry(state.busy, data.key, data.text), announcement: data.text};
    case 'done':
      return {...state, busy: without_entry(state.busy, data.key)};
    case 'error':
      return {...with_line(state, 'error', data), error: data};
    case 'dismiss':
      return {...state, error: null};
    case 'screen':
      return without_what_is_gone({...state, screens: with_entry(state.screens, data.vm, data.screen)});
    case 'filter':
      return {...state, filter: data};
    case 'drag':
      return {...state, dragged: data, over: null, menu: null};
    case 'over':
      return state.over === data ? state : {...state, over: data};
    case 'menu':
      return state.menu === data ? state : {...state, menu: data};
    case 'dialog':
      return {...state, dialog: data};
    default:
      return state; // a newer service may tell of more
  }
}

/// What people call it.
export function name_of(device) {
  return device.name || device.ids || device.place;
}

const levels = ['none', 'read', 'attach', 'admin'];

/// Whether this person may do what takes that level with a VM; `vm`: null for what concerns all of them.
export function may(state, level, vm) {
  const {everywhere, vms} = state.permissions;
  const has = name => levels.indexOf(name) >= levels.indexOf(level);
  return has(everywhere) || (vm !== null && has(vms[vm] ?? 'none'));
}

/// Everywhere it could go: the host (`vm` is null) and all VMs.
export function targets_of(device) {
  return [{vm: null, ...device.detach}, ...device.targets];
}

/// One of these.
export function target_in(device, vm) {
  const found = targets_of(device).find(target => target.vm === vm);
  return found ?? {vm, possible: false, reason: 'it is not known there'};
}

/// What putting it there is called.
export function move_label(device, target) {
  if (target.vm === null) return device.vm === null ? 'Keep with the host' : `Detach from ${device.vm}`;
  return device.vm === null ? `Attach to ${target.vm}` : `Move to ${target.vm}`;
}

/// The state in words.
export function state_words(device) {
  const words = {
    host: 'with the host',
    attached: 'attached',
    moving: device.targetVm === null ? 'on its way out' : `on its way to ${device.targetVm}`,
    waiting: 'waiting for your answer',
    problem: 'problem',
    detached: 'kept out by hand',
    suspended: 'out until resume',
    foreign: 'put there by somebody else',
  };
  return words[device.state] ?? device.state;
}

const by_text = new Intl.Collator('en', {numeric: true}).compare;
const kinds = ['usb', 'input', 'pci'];

function in_order(devices) {
  const rank = device => kinds.indexOf(device.kind);
  return devices.sort((a, b) => rank(a) - rank(b) || by_text(a.place, b.place) || by_text(a.id, b.id));
}

function passes(device, filter) {
  const text = [name_of(device), device.ids, device.place, device.kind, device.state].join(' ').toLowerCase();
  return filter.toLowerCase().split(/\s+/).every(word => text.includes(word));
}

/// The columns: the host, then the VMs, each with its devices. What the host has is divided into what VMs may have and
/// the `others`.
export function columns_of(state) {
  const passing = in_order([...state.devices.values()].filter(device => passes(device, state.filter)));
  const with_host = passing.filter(device => device.vm === null || !state.vms.has(device.vm));
  const is_for_vms = device => device.allowedVms.length > 0 || device.vm !== null;
  const host = {
    vm: null,
    devices: with_host.filter(is_for_vms),
    others: with_host.filter(device => !is_for_vms(device)),
  };
  const vms = [...state.vms.values()].sort((a, b) => by_text(a.name, b.name));
  return [host, ...vms.map(vm => ({vm, devices: passing.filter(device => device.vm === vm.name), others: []}))];
}

/// Devices about which a person is asked.
export function questions_of(state) {
  return in_order([...state.devices.values()].filter(device => device.question !== null));
}
