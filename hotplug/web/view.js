// SPDX-FileCopyrightText: The qemuctl authors
// SPDX-License-Identifier: Apache-2.0

// What the page looks like: trees for `patch`, made from the state alone. `act` has what people can do.

import {h} from './dom.js';
import {columns_of, may, move_label, name_of, questions_of, state_words, target_in, targets_of} from './state.js';

/// For ids: names may have spaces in them.
function vm_id(name) {
  return `vm-${encodeURIComponent(name)}`;
}

export function page(state, act) {
  const columns = columns_of(state);
  return [
    header(state, act),
    state.connection === 'lost' && h('div', {key: 'lost', class: 'banner'},
      h('p', {}, 'Connection lost. This is how it was; the page connects again by itself.')),
    state.connection === 'refused' && h('div', {key: 'refused', class: 'banner'},
      h('p', {}, 'This service asks for a token.'),
      h('button', {id: 'enter-token', type: 'button', onclick: act.enter_token}, 'Enter the token')),
    state.error !== null && error_banner(state.error, act),
    questions(state, act),
    h('main', {key: 'main'},
      host_column(columns[0], state, act),
      h('div', {class: 'vms'},
        columns.slice(1).map(column => vm_column(column, state, act)),
        columns.length === 1 && state.connection === 'live' && h('p', {class: 'empty'}, 'There are no VMs.'))),
    event_log(state.log),
    menu(state, act),
    dialog(state, act),
  ];
}

const connections = {
  connecting: 'Connecting…',
  live: 'Live',
  lost: 'Connection lost',
  refused: 'Token needed',
};

function header(state, act) {
  return h('header', {key: 'header', class: 'top'},
    h('h1', {}, 'qemuctl'),
    h('input', {
      id: 'filter', type: 'search', placeholder: 'Filter devices', 'aria-label': 'Filter devices', autocomplete: 'off',
      oninput: event => act.filter(event.target.value),
    }),
    h('span', {id: 'connection', class: `connection ${state.connection}`}, connections[state.connection]));
}

function error_banner(text, act) {
  return h('div', {key: 'error', class: 'banner error', role: 'alert'},
    h('p', {class: 'foreign-text'}, text),
    h('button', {id: 'dismiss', type: 'button', onclick: act.dismiss}, 'Dismiss'));
}

function icon(name) {
  return h('svg', {class: 'icon', 'aria-hidden': 'true'}, h('use', {href: `icons.svg#${name}`}));
}

// Questions

function questions(state, act) {
  const asked = questions_of(state);
  if (asked.length === 0) return null;
  return h('section', {key: 'questions', class: 'questions', 'aria-label': 'Questions'},
    asked.map(device => question(device, state, act)));
}

function question(device, state, act) {
  const answers = [...device.question.vms, null].map(vm => target_in(device, vm));
  return h('div', {key: device.id, class: 'question', role: 'group', 'aria-labelledby': `question-${device.id}`},
    h('p', {id: `question-${device.id}`},
      'Which VM is ', h('strong', {class: 'foreign-text'}, name_of(device)), ` (${device.place}) for?`),
    h('div', {class: 'answers'}, answers.map(target =>
      choice(`answer-${device.id}-${target.vm ?? ''}`, target.vm ?? 'None: the host keeps it', target,
        () => act.move(device, target.vm), {class: target.vm === null ? '' : 'main'}))));
}

/// A button that tells why it cannot be used, also to those who reach it by keyboard.
function choice(id, label, target, use, attributes = {}) {
  return h('button', {
    id, type: 'button', ...attributes,
    'aria-disabled': target.possible ? null : 'true',
    onclick: target.possible ? use : null,
  },
  h('span', {}, label),
  !target.possible && h('small', {}, target.reason));
}

// Columns

function host_column(column, state, act) {
  const {devices, others} = column;
  return h('section', {
    key: 'host', id: 'column-host', class: `column host ${drop_class(null, state)}`,
    'aria-labelledby': 'name-host', ...drop_events(null, act),
  },
  h('header', {},
    h('div', {class: 'title'}, icon('host'), h('h2', {id: 'name-host'}, 'Host'))),
  drop_hint(null, state),
  device_list(devices, state, act, 'Nothing here is for a VM.'),
  others.length > 0 && h('details', {key: 'others', class: 'others', open: state.filter === '' ? null : true},
    h('summary', {id: 'others'}, `${others.length} more, which no rule lets into a VM`),
    device_list(others, state, act, '')));
}

function vm_column(column, state, act) {
  const {vm, devices} = column;
  const busy = state.busy.get(`vm:${vm.name}`);
  return h('section', {
    key: `vm:${vm.name}`, id: `column-${vm_id(vm.name)}`, class: `column ${drop_class(vm.name, state)}`,
    'aria-labelledby': `name-${vm_id(vm.name)}`, ...drop_events(vm.name, act),
  },
  h('header', {},
    h('div', {class: 'title'},
      icon('vm'),
      h('h2', {id: `name-${vm_id(vm.name)}`}, vm.name),
      h('span', {class: `badge ${vm.state}`}, vm.running || vm.state !== 'shutdown' ? vm.state : 'off')),
    vm.reason !== null && h('p', {key: 'reason', class: 'quiet foreign-text'}, vm.reason),
    vm.problem !== null && h('p', {key: 'problem', class: 'problem foreign-text'}, vm.problem),
    vm_buttons(vm, busy, may(state, 'admin', vm.name), act),
    busy !== undefined && h('p', {key: 'busy', class: 'busy'}, busy)),
  vm.running && may(state, 'admin', vm.name) && screen(vm, state.screens.get(vm.name), act),
  drop_hint(vm.name, state),
  device_list(devices, state, act, 'No devices'));
}

function vm_buttons(vm, busy, permitted, act) {
  const usable = permitted && busy === undefined;
  const reason = `reason-${vm_id(vm.name)}`;
  const button = (action, label, use, name = `${label} ${vm.name}`) => vm.actions.includes(action) && h('button', {
    key: action, id: `${action}-${vm_id(vm.name)}`, type: 'button', 'aria-label': name,
    class: action === 'stop' || action === 'reset' ? 'danger' : '',
    'aria-disabled': usable ? null : 'true', 'aria-describedby': permitted ? null : reason,
    onclick: usable ? use : null,
  }, label);
  const plain = (action, label, doing) => button(action, label, () => act.control(vm.name, action, doing));
  const press = () => act.control(vm.name, 'send-key', 'pressing Ctrl+Alt+Del', {keys: ['ctrl', 'alt', 'delete']});
  return [
    h('div', {key: 'buttons', class: 'buttons'},
      plain('start', 'Start', 'starting'),
      plain('shutdown', 'Shut down', 'asking the guest to shut down'),
      plain('pause', 'Pause', 'pausing'),
      plain('resume', 'Resume', 'resuming'),
      button('send-key', 'Ctrl+Alt+Del', press, `Press Ctrl+Alt+Del in ${vm.name}`),
      button('reset', 'Reset', () => act.ask_to_end(vm.name, 'reset')),
      button('stop', 'Force stop', () => act.ask_to_end(vm.name, 'stop'))),
    !permitted && vm.actions.length > 0
      && h('p', {key: 'permission', id: reason, class: 'quiet'}, 'You may not control this VM or see its screen.'),
  ];
}

function screen(vm, known, act) {
  return h('button', {
    key: 'screen', id: `screen-${vm_id(vm.name)}`, type: 'button', class: 'screen',
    'aria-label': `Screen of ${vm.name}: look again`,
    mounted: node => act.show_screen(vm.name, node), onclick: () => act.look_again(vm.name),
  },
  known?.url
    ? h('img', {key: 'picture', src: known.url, draggable: 'false', alt: `What is on the screen of ${vm.name}`})
    : h('span', {key: 'none'}, known?.problem ?? 'no picture yet'));
}

function device_list(devices, state, act, nothing) {
  if (devices.length === 0) return nothing === '' ? null : h('p', {key: 'nothing', class: 'empty'}, nothing);
  return h('ul', {key: 'devices', class: 'devices'}, devices.map(device => card(device, state, act)));
}

// Devices

function icon_of(device) {
  if (device.kind !== 'input') return device.kind;
  const kinds = device.input.kinds;
  if (kinds.includes('joystick')) return 'joystick';
  return kinds.length === 0 || kinds.includes('keyboard') ? 'keyboard' : 'mouse';
}

const kind_words = {usb: 'USB', pci: 'PCI', input: 'Input'};

/// Where it is says nothing new about one that is there, and a problem has words of its own.
function has_more_to_say(device) {
  return !['host', 'attached'].includes(device.state) && !(device.state === 'problem' && device.problem !== null);
}

function card(device, state, act) {
  const {id} = device;
  const busy = state.busy.get(id);
  const dragged = state.dragged === id;
  const open = state.menu === id;
  return h('li', {
    key: id, id: `device-${id}`, class: `card is-${device.state} ${dragged ? 'dragged' : ''}`,
    draggable: 'true', 'aria-labelledby': `name-${id}`,
    ondragstart: event => act.drag(id, event), ondragend: act.drop_nowhere,
  },
  icon(icon_of(device)),
  h('div', {class: 'words'},
    h('h3', {id: `name-${id}`, class: 'foreign-text'}, name_of(device)),
    h('p', {class: 'quiet'}, [kind_words[device.kind], device.ids, device.place].filter(text => text).join(' · ')),
    has_more_to_say(device) && h('p', {key: 'state', class: `state ${device.state}`},
      device.vm !== null && !state.vms.has(device.vm) ? `in VM ${device.vm}: ` : '', state_words(device)),
    device.problem !== null && h('p', {key: 'problem', class: 'problem foreign-text'}, device.problem),
    busy !== undefined && h('p', {key: 'busy', class: 'busy'}, busy)),
  h('button', {
    id: `menu-${id}`, type: 'button', class: 'more', 'aria-label': `Actions for ${name_of(device)}`,
    'aria-haspopup': 'menu', 'aria-expanded': open ? 'true' : 'false', 'aria-controls': open ? 'menu' : null,
    onclick: () => act.open_menu(open ? null : id),
    onkeydown: event => {
      if (event.key !== 'ArrowDown') return;
      event.preventDefault();
      act.open_menu(id);
    },
  }, '⋯'));
}

function menu(state, act) {
  const device = state.devices.get(state.menu);
  if (device === undefined) return null;
  const item = (name, label, target, use) =>
    choice(`item-${name}`, label, target, () => act.choose(use), {key: name, role: 'menuitem', tabindex: '-1'});
  const explainable = may(state, 'read', null)
    ? {possible: true, reason: null} : {possible: false, reason: 'rules are about all VMs, and you may not see all of them'};
  // Where it is already is no place to go to.
  const targets = targets_of(device).filter(target => target.vm !== device.vm || device.vm === null);
  return h('div', {
    key: `menu:${device.id}`, id: 'menu', class: 'menu', role: 'menu', popover: 'manual',
    'aria-label': `Actions for ${name_of(device)}`, mounted: act.show_menu, onkeydown: act.menu_key,
  },
  targets.map(target => item(target.vm === null ? 'host' : `vm:${target.vm}`, move_label(device, target), target,
    () => act.move(device, target.vm))),
  h('hr', {key: 'line', role: 'separator'}),
  item('explain', 'Why is it here?', explainable, () => act.explain(device.id)));
}

// Dropping

function target_of_dragged(vm, state) {
  const device = state.devices.get(state.dragged);
  return device === undefined ? null : target_in(device, vm);
}

function drop_class(vm, state) {
  const target = target_of_dragged(vm, state);
  if (target === null) return '';
  const over = state.over === (vm ?? '') ? 'over' : '';
  return `${target.possible ? 'possible' : 'impossible'} ${over}`;
}

function drop_hint(vm, state) {
  const target = target_of_dragged(vm, state);
  if (target === null) return null;
  const device = state.devices.get(state.dragged);
  const text = target.possible ? move_label(device, target) : `Not here: ${target.reason}`;
  return h('p', {key: 'hint', class: 'hint'}, text);
}

function drop_events(vm, act) {
  return {
    ondragover: event => act.drag_over(vm, event),
    ondragleave: event => act.drag_leave(vm, event),
    ondrop: event => act.drop(vm, event),
  };
}

// The rest

function event_log(log) {
  const time = line => line.time.toLocaleTimeString([], {hour: '2-digit', minute: '2-digit', second: '2-digit'});
  return h('section', {key: 'log', class: 'log', 'aria-labelledby': 'name-log'},
    h('h2', {id: 'name-log'}, 'Events'),
    log.length === 0 && h('p', {key: 'nothing', class: 'empty'}, 'Nothing has happened since this page was opened.'),
    log.length > 0 && h('ol', {key: 'lines', tabindex: '0', 'aria-labelledby': 'name-log'}, log.map(line =>
      h('li', {key: line.number, class: `is-${line.kind}`},
        h('time', {datetime: line.time.toISOString()}, time(line)), ' ',
        h('span', {class: 'foreign-text'}, line.text)))));
}

function dialog(state, act) {
  const asked = state.dialog;
  if (asked === null) return null;
  const frame = (title, ...content) => h('dialog', {
    key: `dialog:${asked.kind}`, id: 'dialog', 'aria-labelledby': 'name-dialog',
    mounted: node => node.showModal(), onclose: act.dialog_closed,
  }, h('h2', {id: 'name-dialog', class: 'foreign-text'}, title), ...content);
  if (asked.kind === 'explanation')
    return frame(`Why is ${asked.name} here?`,
      h('pre', {tabindex: '0', 'aria-labelledby': 'name-dialog'}, asked.text),
      h('div', {class: 'buttons'}, h('button', {id: 'close', type: 'button', onclick: act.close_dialog}, 'Close')));
  if (asked.kind === 'stop' || asked.kind === 'reset')
    return frame(asked.kind === 'stop' ? `Force VM ${asked.vm} to stop?` : `Reset VM ${asked.vm}?`,
      h('p', {}, 'Its guest is not asked. What it has not written to its disks is lost.'),
      h('div', {class: 'buttons'},
        h('button', {id: 'cancel', type: 'button', autofocus: true, onclick: act.close_dialog}, 'Cancel'),
        h('button', {id: 'confirm', type: 'button', class: 'danger', onclick: () => act.end(asked.vm, asked.kind)},
          asked.kind === 'stop' ? 'Force stop' : 'Reset')));
  return frame('Token',
    h('form', {onsubmit: act.use_token},
      h('p', {}, asked.problem ?? 'This service asks for a token.'),
      h('label', {for: 'token'}, 'Token'),
      h('input', {id: 'token', type: 'password', autocomplete: 'off', required: true}),
      h('div', {class: 'buttons'}, h('button', {id: 'use-token', class: 'main'}, 'Connect'))));
}
