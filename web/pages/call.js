// Calls from within the page: <call-button number="+81333331234">, and every tel: link in scope.
//
//   <script type="module" src="https://www.example.com/call.js"></script>
//
// ?scope=SELECTOR in the address limits which links are upgraded; data-no-call on a link leaves it alone;
// codec="opus" on an element asks for Opus. Where calling is not possible, the link stays what it was.

const home = new URL(import.meta.url);
const canCall = () => window.isSecureContext && 'RTCPeerConnection' in window
  && !!navigator.mediaDevices?.getUserMedia;

const WORDS = {
  ja: {
    call: n => `${n} に電話をかける`, group: n => `${n} との通話`,
    asking: 'マイクの使用を許可してください', connecting: '接続しています', ringing: '呼び出しています',
    connected: '通話中', reconnecting: '再接続しています', hangup: '電話を切る', cancel: '中止',
    mute: 'ミュート', keypad: 'ダイヤル', volume: '音量', again: 'かけ直す', close: '閉じる',
    plain: '電話アプリでかける', digit: 'ダイヤル ', star: '米印', hash: 'シャープ', leave: '通話中です',
    ended: {
      hung_up: '通話が終わりました', busy: 'お話し中です', no_answer: '応答がありません',
      declined: '応答を断られました', no_such_number: 'この番号は使われていません',
      no_line: '回線が混み合っています。しばらくしてからおかけ直しください',
      line_down: '電話回線に障害が起きています', lost: '接続が切れました', gateway: '通話サーバーにつながりません',
      rate: '発信が多すぎます。しばらくしてからおかけ直しください',
      denied: 'マイクの使用が許可されていません', missing: 'マイクが見つかりません',
      in_use: 'マイクを使用できません。ほかのアプリが使用中かもしれません',
      refused: 'この番号にはおつなぎできません', failed: '電話をかけられませんでした',
    },
  },
  en: {
    call: n => `Call ${n}`, group: n => `Call with ${n}`,
    asking: 'Please allow the microphone', connecting: 'Connecting', ringing: 'Ringing',
    connected: 'Connected', reconnecting: 'Reconnecting', hangup: 'Hang up', cancel: 'Cancel',
    mute: 'Mute', keypad: 'Keypad', volume: 'Volume', again: 'Call again', close: 'Close',
    plain: 'Call with your phone app', digit: '', star: 'star', hash: 'hash', leave: 'You are in a call',
    ended: {
      hung_up: 'The call has ended', busy: 'The line is busy', no_answer: 'Nobody answers',
      declined: 'The call was declined', no_such_number: 'This number is not in service',
      no_line: 'All lines are busy; please try again in a moment',
      line_down: 'The telephone line is out of order', lost: 'The connection was lost',
      gateway: 'The call server cannot be reached',
      rate: 'Too many calls; please try again in a moment',
      denied: 'The microphone is not allowed', missing: 'No microphone was found',
      in_use: 'The microphone cannot be used; another program may have it',
      refused: 'This number cannot be called from here', failed: 'The call could not be made',
    },
  },
};

const STYLE = `
:host { display: inline-block; max-width: 100%; font: inherit; }
:host([hidden]) { display: none; }
.panel { margin-block-start: .5rem; padding: .75rem; border-radius: var(--call-radius, .75rem);
  color: var(--call-color, inherit); background: var(--call-background, Canvas);
  border: 1px solid var(--call-border, color-mix(in srgb, currentColor 25%, transparent));
  display: grid; gap: .5rem; min-width: 15rem; box-sizing: border-box; }
[hidden] { display: none !important; }
.row { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; }
.state { font-weight: 600; flex: 1; }
.state::before { content: ''; display: inline-block; width: .6em; height: .6em; margin-inline-end: .5em;
  border-radius: 50%; border: 2px solid currentColor; box-sizing: border-box; }
:host([state=connected]) .state::before { background: currentColor; }
:host([state=ended]) .state::before { border-radius: 0; }
.timer { font-variant-numeric: tabular-nums; }
button, a.button { font: inherit; min-width: 44px; min-height: 44px; padding: .25rem .9rem;
  border-radius: var(--call-button-radius, 999px); cursor: pointer; box-sizing: border-box;
  border: 1px solid currentColor; color: inherit; background: transparent; text-decoration: none;
  display: inline-flex; align-items: center; justify-content: center; }
button[aria-pressed=true], button[aria-expanded=true] { background: CanvasText; color: Canvas; }
.hangup { background: var(--call-hangup, #b3261e); color: var(--call-on-hangup, #fff); border-color: transparent; }
.again { background: var(--call-accent, #0b5d6b); color: var(--call-on-accent, #fff); border-color: transparent; }
:focus-visible { outline: 3px solid var(--call-focus, Highlight); outline-offset: 2px; }
.keys { display: grid; grid-template-columns: repeat(3, 1fr); gap: .25rem; max-width: 14rem; }
label { display: flex; align-items: center; gap: .5rem; min-height: 44px; }
input { min-height: 44px; width: 8rem; accent-color: currentColor; }
`;

const PANEL = `<slot></slot><div class="panel" part="panel" role="group" hidden>
<div class="row"><span class="state" part="state" role="status" aria-live="polite"></span>
<span class="timer" part="timer" role="timer" aria-live="off" hidden></span></div>
<div class="row controls"><button type="button" class="hangup" part="hangup"></button>
<button type="button" class="mute" part="mute" aria-pressed="false"></button>
<button type="button" class="pad" part="pad" aria-expanded="false"></button>
<label><span></span><input type="range" part="volume" min="0" max="100" value="100"></label></div>
<div class="keys" part="keys" hidden></div>
<div class="row after" hidden><button type="button" class="again" part="again"></button>
<a class="button plain" part="plain"></a><button type="button" class="close" part="close"></button></div>
<audio autoplay></audio></div>`;

let sheet;
let current = null; // One call at a time: there is one microphone.

class CallButton extends HTMLElement {
  #call = null;
  #link = null;
  #ticking = 0;

  connectedCallback() {
    if (this.shadowRoot) return;
    const root = this.attachShadow({ mode: 'open' });
    if (!sheet) (sheet = new CSSStyleSheet()).replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
    root.innerHTML = PANEL;
    this.#link = this.querySelector('a[href]');
    if (!this.#link) {
      this.#link = document.createElement('a');
      this.#link.href = `tel:${this.number}`;
      this.#link.part = 'link';
      this.#link.textContent = this.textContent.trim() || this.words.call(this.number);
      root.querySelector('slot').append(this.#link);
      this.textContent = '';
    }
    this.#link.addEventListener('click', event => {
      // A new tab, a copy of the link, or no way to call: the link is what it was.
      if (!canCall() || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
      event.preventDefault();
      this.call();
    });
    const find = selector => root.querySelector(selector);
    find('.hangup').addEventListener('click', () => this.hangUp());
    find('.again').addEventListener('click', () => this.call());
    find('.close').addEventListener('click', () => this.#show('idle'));
    find('.mute').addEventListener('click', event => {
      const muted = this.#call?.mute();
      event.currentTarget.setAttribute('aria-pressed', !!muted);
    });
    find('.pad').addEventListener('click', event => {
      const keys = find('.keys');
      keys.hidden = !keys.hidden;
      event.currentTarget.setAttribute('aria-expanded', !keys.hidden);
    });
    find('input').addEventListener('input', event => {
      find('audio').volume = event.target.value / 100;
    });
    for (const key of '123456789*0#') {
      const button = document.createElement('button');
      button.type = 'button';
      button.textContent = key;
      button.part = 'key';
      const name = { '*': 'star', '#': 'hash' }[key];
      button.setAttribute('aria-label', this.words.digit + (name ? this.words[name] : key));
      button.addEventListener('click', () => this.#call?.digit(key));
      find('.keys').append(button);
    }
    find('.panel').addEventListener('keydown', event => {
      if (event.target.matches('input') || event.ctrlKey || event.metaKey || event.altKey) return;
      if (/^[0-9*#]$/.test(event.key)) this.#call?.digit(event.key);
      else if (event.key === 'Escape' && !this.#call) this.#show('idle');
    });
    this.#show('idle');
  }

  disconnectedCallback() { this.hangUp(); }

  get number() { return this.getAttribute('number') ?? ''; }
  get state() { return this.getAttribute('state') ?? 'idle'; }
  get words() {
    const language = this.closest('[lang]')?.lang || navigator.language;
    return WORDS[language.startsWith('ja') ? 'ja' : 'en'];
  }

  call() {
    if (current) return;
    const find = selector => this.shadowRoot.querySelector(selector);
    find('.mute').setAttribute('aria-pressed', 'false');
    find('.pad').setAttribute('aria-expanded', 'false');
    find('.keys').hidden = true;
    const number = this.number || decodeURIComponent(this.#link.href.replace(/^tel:/, ''));
    this.#call = current = new Call(number, this.getAttribute('codec'), find('audio'),
      (state, reason) => this.#follow(state, reason));
    this.#show('asking');
    find('.hangup').focus();
    this.#call.begin();
  }

  hangUp() { this.#call?.end('hung_up'); }

  #follow(state, reason) {
    if (state === 'ended') this.#call = current = null;
    this.#show(state, reason);
  }

  #show(state, reason) {
    const words = this.words;
    const root = this.shadowRoot;
    const find = selector => root.querySelector(selector);
    const hadFocus = !!root.activeElement || document.activeElement === this;
    const before = this.state;
    this.setAttribute('state', state);
    reason ? this.setAttribute('reason', reason) : this.removeAttribute('reason');
    const name = this.#link.textContent.trim() || this.number;
    const over = state === 'ended';
    find('.panel').hidden = state === 'idle';
    find('.panel').setAttribute('aria-label', words.group(name));
    find('.state').textContent = over ? words.ended[reason] ?? words.ended.failed : words[state] ?? '';
    find('.controls').hidden = over;
    find('.after').hidden = !over;
    if (over) find('.keys').hidden = true;
    const up = state === 'connected' || state === 'reconnecting';
    find('.hangup').textContent = up || state === 'ringing' ? words.hangup : words.cancel;
    find('.mute').textContent = words.mute;
    find('.pad').textContent = words.keypad;
    find('label span').textContent = words.volume;
    find('.again').textContent = words.again;
    find('.close').textContent = words.close;
    find('.plain').textContent = words.plain;
    find('.plain').href = this.#link.protocol === 'tel:' ? this.#link.href : `tel:${this.number}`;
    find('.mute').disabled = find('.pad').disabled = !up && state !== 'ringing';
    clearInterval(this.#ticking);
    const timer = find('.timer');
    timer.hidden = !up && !(over && before !== 'ringing' && timer.textContent);
    if (state === 'asking') timer.textContent = '';
    if (up) {
      const tick = () => {
        const s = Math.floor((Date.now() - this.#call.answeredAt) / 1000);
        timer.textContent = `${String(Math.floor(s / 60)).padStart(2, '0')}:${String(s % 60).padStart(2, '0')}`;
      };
      tick();
      this.#ticking = setInterval(tick, 500);
    }
    if (over && hadFocus) find('.again').focus();
    if (state === 'idle' && hadFocus && before === 'ended') this.#link.focus();
    this.dispatchEvent(new CustomEvent('callstate', { detail: { state, reason }, bubbles: true, composed: true }));
  }
}

/** One call: microphone, token, offer, events, end. Tells every state once. */
class Call {
  answeredAt = 0;
  #pc = null;
  #microphone = null;
  #resource = null;
  #events = null;
  #over = false;
  #state = 'asking';
  #restarts = 0;
  #patience = 0;

  constructor(number, codec, audio, tell) {
    Object.assign(this, { number, codec, audio, tell });
    this.onLeave = () => this.end('hung_up');
    this.onUnload = event => { if (this.answeredAt) event.preventDefault(); };
    this.onNetwork = () => this.#restart();
  }

  async begin() {
    try {
      this.#microphone = await navigator.mediaDevices.getUserMedia({ audio: true });
    } catch (error) {
      const reasons = { NotAllowedError: 'denied', SecurityError: 'denied', NotFoundError: 'missing', NotReadableError: 'in_use' };
      return this.end(reasons[error.name] ?? 'missing');
    }
    if (this.#over) return this.#release();
    this.#go('connecting');
    addEventListener('pagehide', this.onLeave);
    addEventListener('beforeunload', this.onUnload);
    addEventListener('online', this.onNetwork);
    navigator.connection?.addEventListener?.('change', this.onNetwork);
    try {
      await this.#connect();
    } catch (error) {
      this.end(error.reason ?? 'gateway');
    }
  }

  async #connect() {
    const pc = this.#pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
    const [track] = this.#microphone.getAudioTracks();
    const transceiver = pc.addTransceiver(track, { streams: [this.#microphone] });
    if (this.codec) {
      const codecs = RTCRtpReceiver.getCapabilities('audio').codecs;
      transceiver.setCodecPreferences?.(codecs.filter(({ mimeType }) =>
        [`audio/${this.codec}`, 'audio/telephone-event'].includes(mimeType.toLowerCase())));
    }
    pc.addEventListener('track', ({ track }) => {
      this.audio.srcObject = new MediaStream([track]);
      this.audio.play().catch(() => {});
    });
    pc.addEventListener('connectionstatechange', () => this.#connection());
    await pc.setLocalDescription();
    let last;
    let tried = 0;
    // The next gateway where one has no room or is not there; each try needs a token of its own.
    do {
      const { token, gateways } = await this.#permission();
      if (tried >= gateways.length) break;
      const response = await fetch(new URL('/calls', gateways[tried]), {
        method: 'POST', body: pc.localDescription.sdp,
        headers: { 'content-type': 'application/sdp', authorization: `Bearer ${token}` },
      }).catch(() => null);
      if (response?.ok) {
        this.#resource = new URL(response.headers.get('location'), gateways[tried]);
        if (this.#over) return this.#goodbye();
        await pc.setRemoteDescription({ type: 'answer', sdp: await response.text() });
        return this.#listen();
      }
      last = { reason: await reasonOf(response) };
      tried += 1;
    } while (['gateway', 'no_line', 'line_down'].includes(last.reason) && !this.#over);
    throw last ?? { reason: 'gateway' };
  }

  async #permission() {
    const response = await fetch(new URL('/call-token', home), { method: 'POST', body: new URLSearchParams({ number: this.number }) });
    if (!response.ok) throw { reason: await reasonOf(response) };
    return response.json();
  }

  #listen() {
    const events = this.#events = new EventSource(new URL(`${this.#resource.pathname}/events`, this.#resource));
    events.addEventListener('ringing', () => this.#go('ringing'));
    events.addEventListener('answered', () => {
      this.answeredAt ||= Date.now();
      this.#go('connected');
    });
    events.addEventListener('ended', ({ data }) => {
      this.#resource = null;
      this.end(JSON.parse(data).reason);
    });
  }

  #connection() {
    const state = this.#pc.connectionState;
    if (state === 'connected') {
      clearTimeout(this.#patience);
      this.#patience = this.#restarts = 0;
      if (this.#state === 'reconnecting') this.#go('connected');
    } else if ((state === 'disconnected' || state === 'failed') && this.#resource) {
      if (this.answeredAt) this.#go('reconnecting');
      this.#patience ||= setTimeout(() => this.end('lost'), 20_000);
      this.#restart();
    }
  }

  async #restart() {
    const pc = this.#pc;
    if (this.#over || !this.#resource || pc?.signalingState !== 'stable') return;
    this.#restarts += 1;
    try {
      await pc.setLocalDescription(await pc.createOffer({ iceRestart: true }));
      const response = await fetch(this.#resource, {
        method: 'PATCH', body: pc.localDescription.sdp, headers: { 'content-type': 'application/sdp' },
      });
      if (!response.ok) return this.end(response.status === 404 ? 'lost' : 'gateway');
      await pc.setRemoteDescription({ type: 'answer', sdp: await response.text() });
    } catch {
      if (this.#over) return;
      // No answer: either this network is not up yet or the gateway is gone.
      if (pc.signalingState === 'have-local-offer') await pc.setLocalDescription({ type: 'rollback' }).catch(() => {});
      if (this.#restarts >= 4) return this.end('gateway');
      setTimeout(() => this.#restart(), 2_000);
    }
  }

  mute() {
    const [track] = this.#microphone?.getAudioTracks() ?? [];
    if (track) track.enabled = !track.enabled;
    return track && !track.enabled;
  }

  digit(key) {
    const sender = this.#pc?.getSenders().find(({ dtmf }) => dtmf);
    if (sender?.dtmf.canInsertDTMF) sender.dtmf.insertDTMF(sender.dtmf.toneBuffer + key, 120, 70);
  }

  end(reason) {
    if (this.#over) return;
    this.#over = true;
    this.#goodbye();
    this.#release();
    this.tell('ended', reason);
  }

  #go(state) {
    if (this.#over || this.#state === state) return;
    if (state === 'ringing' && this.answeredAt) return;
    this.#state = state;
    this.tell(state);
  }

  #goodbye() {
    // Outlives the page.
    if (this.#resource) fetch(this.#resource, { method: 'DELETE', keepalive: true }).catch(() => {});
    this.#resource = null;
  }

  #release() {
    clearTimeout(this.#patience);
    removeEventListener('pagehide', this.onLeave);
    removeEventListener('beforeunload', this.onUnload);
    removeEventListener('online', this.onNetwork);
    navigator.connection?.removeEventListener?.('change', this.onNetwork);
    this.#events?.close();
    this.#pc?.close();
    this.#microphone?.getTracks().forEach(track => track.stop());
    this.audio.srcObject = null;
  }
}

/** In a word why a request failed. */
async function reasonOf(response) {
  if (!response) return 'gateway';
  const { reason } = await response.json().catch(() => ({}));
  if (response.status === 429) return 'rate';
  if (reason && reason in WORDS.en.ended) return reason;
  return response.status >= 500 ? 'gateway' : response.status === 403 || response.status === 404 ? 'refused' : 'failed';
}

customElements.define('call-button', CallButton);

/** Puts every tel: link in scope into an element of its own. */
function upgrade() {
  if (!canCall()) return;
  const scope = home.searchParams.get('scope');
  for (const link of document.querySelectorAll('a[href^="tel:"], a[data-call]')) {
    if (link.closest('call-button, [data-no-call]') || (scope && !link.closest(scope))) continue;
    const button = document.createElement('call-button');
    button.setAttribute('number', link.dataset.call ?? decodeURIComponent(link.href.slice(4)));
    // The link is inside before the element is in the page and looks for it.
    const place = document.createComment('');
    link.replaceWith(place);
    button.append(link);
    place.replaceWith(button);
  }
}
upgrade();
