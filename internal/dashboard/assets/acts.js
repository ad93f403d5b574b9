// Actions: each is asked about first, and sent with the token.
import { h } from './dom.js';
import { post, token } from './fleet.js';

export { token };

export function toast(text, bad) {
  const el = h('div', { class: 'toast' + (bad ? ' bad' : '') }, text);
  document.getElementById('toasts').append(el);
  setTimeout(() => el.remove(), bad ? 9000 : 5000);
}

export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast('Copied.');
  } catch {
    toast('The browser does not let this page copy.', true);
  }
}

// dialog shows a modal dialog and gives what it was closed with.
export function dialog(make, cls) {
  return new Promise((done) => {
    const el = h('dialog', { class: cls || '' });
    const close = (value) => { el.returned = value; el.close(); };
    el.append(make(close));
    el.addEventListener('close', () => { el.remove(); done(el.returned); });
    document.body.append(el);
    el.showModal();
  });
}

function confirm(question, verb) {
  return dialog((close) => h('form', { onsubmit: (e) => { e.preventDefault(); close(true); } },
    h('h2', null, question),
    h('div', { class: 'ends' }, h('button', { type: 'button', onclick: () => close(false) }, 'Leave it'), h('button', { class: 'main', id: 'yes', autofocus: true }, verb))));
}

// unlock asks for the token until it is right, or not given.
export async function unlock() {
  const given = await dialog((close) => {
    const input = h('input', { type: 'password', id: 'token', 'aria-label': 'Token', autocomplete: 'off', autofocus: true, required: true });
    const says = h('p', { class: 'muted' }, 'submit dashboard printed it when it started. It is kept until this tab is closed.');
    return h('form', {
      onsubmit: async (e) => {
        e.preventDefault();
        try {
          await post('unlock', null, input.value.trim());
          close(input.value.trim());
        } catch (err) {
          says.textContent = err.message;
          says.className = 'bad';
        }
      },
    }, h('h2', null, 'Token for actions'), says, input,
    h('div', { class: 'ends' }, h('button', { type: 'button', onclick: () => close('') }, 'Close'), h('button', { class: 'main', id: 'unlock' }, 'Unlock')));
  });
  token.set(given || '');
  window.dispatchEvent(new Event('boxfleet-token'));
  return Boolean(given);
}

// act asks, sends, and says what became of it; it gives the answer, or null.
export async function act(question, verb, path, body) {
  if (!token.get() && !await unlock()) return null;
  if (!await confirm(question, verb)) return null;
  try {
    const answer = await post(path, body);
    if (answer.says) toast(answer.says);
    return answer;
  } catch (e) {
    toast(e.message, true);
    return null;
  }
}
