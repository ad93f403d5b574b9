// What the page knows of the fleet: the session, the live picture, and how to ask for more.

export const fleet = { session: null, snap: null, series: new Map(), live: false };

const listeners = new Set();

// follow calls back with each new picture, until its result is called.
export function follow(f) {
  listeners.add(f);
  if (fleet.snap) f(fleet.snap);
  return () => listeners.delete(f);
}

export async function get(path, signal) {
  let answer;
  try {
    answer = await fetch('/api/' + path, { signal });
  } catch (e) {
    if (e.name === 'AbortError') throw e;
    throw new Error('The dashboard does not answer. Is submit dashboard still running?');
  }
  return read(answer);
}

async function read(answer) {
  let doc = null;
  try { doc = await answer.json(); } catch { /* not ours */ }
  if (!answer.ok) throw new Error((doc && doc.error) || `The dashboard answers ${answer.status}.`);
  return doc;
}

const tokenName = 'boxfleet-token';
export const token = {
  get: () => sessionStorage.getItem(tokenName) || '',
  set: (t) => t ? sessionStorage.setItem(tokenName, t) : sessionStorage.removeItem(tokenName),
};

export async function post(path, body, secret = token.get()) {
  return read(await fetch('/api/' + path, {
    method: 'POST', body: body ? JSON.stringify(body) : '',
    headers: { Authorization: 'Bearer ' + secret, 'Content-Type': 'application/json' },
  }));
}

function take(snap) {
  for (const x of snap.series) fleet.series.set(x.t, x);
  const oldest = Math.floor(Date.parse(snap.at) / 1000) - 605;
  for (const t of fleet.series.keys()) if (t < oldest) fleet.series.delete(t);
  fleet.snap = snap;
  snap.series = [...fleet.series.values()].sort((a, b) => a.t - b.t);
  for (const f of [...listeners]) f(snap);
}

// start opens the stream; onLive is told whether it is open.
export async function start(onLive) {
  fleet.session = await get('session');
  take(await get('overview'));
  const open = () => {
    const source = new EventSource('/api/stream');
    source.addEventListener('snapshot', (e) => { onLive(true); take(JSON.parse(e.data)); });
    source.addEventListener('error', () => {
      onLive(false);
      if (source.readyState === EventSource.CLOSED) setTimeout(open, 3000);
    });
    window.addEventListener('pagehide', () => source.close(), { once: true });
  };
  open();
}
