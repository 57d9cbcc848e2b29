import { LagChart } from './chart.js'
import { html } from './html.js'
import { Legend, Ring } from './ring.js'
import { Bar, Card, Icon, Nothing, Peer, Pill, Table } from './tables.js'

/** @import { State } from './main.js' */
/** @import { View } from '../core/view.ts' */

/**
 * @param {State} state
 */
export function App ({ view, isLive, lags }) {
  if (view == null) {
    return html`
      <main class="empty">
        <h1>sheaf inspector</h1>
        <p role="status">${isLive ? 'Connecting to the node…' : 'Connecting to the node. If this stays, it does not run.'}</p>
      </main>`
  }

  return html`
    <${Header} node=${view.node} log=${view.log} isLive=${isLive} />
    <main class=${isLive ? '' : 'old'}>
      <${Safety} safety=${view.safety} problems=${view.problems} />
      <${Numbers} numbers=${view.numbers} />
      <div class="grid">
        <${Card} id="ring" title="The ring" about=${RING}>
          ${view.ring.tracks.length === 0
            ? html`<${Nothing}>Nobody who is here keeps anything of this log.<//>`
            : html`<div class="ring-and-legend"><${Ring} ring=${view.ring} /><${Legend} ring=${view.ring} peers=${view.peers} /></div>`}
        <//>
        <${Card} id="entries" title="Latest entries">
          <${Entries} entries=${view.entries} />
        <//>
        <${Card} id="peers" title="Peers" about="Who is a replicator, who is not, and why; and what waits on the way there.">
          <${Peers} view=${view} />
        <//>
        <${Card} id="sync" title="In step" about="Whether the others have the same as this node.">
          <${Sync} sync=${view.sync} />
        <//>
        <${Card} id="sessions" title="Sessions" about="Encryption from end to end. Keys are not shown anywhere.">
          <${Sessions} sessions=${view.sessions} />
        <//>
        <${Card} id="transfers" title="Transfers">
          <${Transfers} transfers=${view.transfers} />
        <//>
        <${Card} id="mailboxes" title="Mailboxes" about="What waits for what inside of this node, at this moment.">
          <${Mailboxes} mailboxes=${view.mailboxes} hidden=${view.hiddenMailboxes} />
        <//>
        <${Card} id="lag" title="Event loop" about="How late timers of this node are.">
          ${lags.length === 0
            ? html`<${Nothing}>Being measured.<//>`
            : html`<${Lag} lags=${lags} />`}
        <//>
        <${Card} id="node" title="This node">
          <${Node} node=${view.node} dropped=${view.dropped} />
        <//>
      </div>
    </main>
    <footer>
      <p>
        Read-only, and for this machine.
        <a href="state.json">All of this as JSON</a> · <a href="metrics">Metrics for Prometheus</a>
      </p>
    </footer>`
}

const RING = 'Each entry has a place on it. The outer band shows how many copies there are of what lies where; a track ' +
  'shows what one replicator announced, and pale what else it keeps.'

/**
 * @param {{ node: View['node'], log: string, isLive: boolean }} props
 */
function Header ({ node, log, isLive }) {
  return html`
    <header>
      <div>
        <p class="brand">sheaf inspector</p>
        <h1><bdi>${log}</bdi></h1>
        <p class="muted">at <${Peer} name=${node.name} peer=${node.peer} />, up for ${node.uptime}</p>
      </div>
      <p class=${`live ${isLive ? 'good' : 'bad'}`} role="status">
        <span class="dot" aria-hidden="true"></span> ${isLive ? 'Live' : 'The node does not answer'}
      </p>
    </header>`
}

/**
 * @param {{ safety: View['safety'], problems: string[] }} props
 */
function Safety ({ safety: { level, answer, why }, problems }) {
  return html`
    <section class=${`safety ${level}`} aria-labelledby="safety">
      <${Icon} level=${level} />
      <div>
        <h2 id="safety">Is my data safe?</h2>
        <p class="answer" role="status" aria-live="polite"><strong>${answer}.</strong> ${why}</p>
        ${problems.length === 0
          ? null
          : html`
            <ul class="problems" aria-label="What to look at">
              ${problems.map(problem => html`<li key=${problem}><bdi>${problem}</bdi></li>`)}
            </ul>`}
      </div>
    </section>`
}

/**
 * @param {{ numbers: View['numbers'] }} props
 */
function Numbers ({ numbers }) {
  return html`
    <dl class="numbers">
      ${numbers.map(({ name, value }, i) => html`<div key=${i}><dt>${name}</dt><dd>${value}</dd></div>`)}
    </dl>`
}

/**
 * @param {{ entries: View['entries'] }} props
 */
function Entries ({ entries }) {
  if (entries.length === 0) {
    return html`<${Nothing}>Nothing is in the log yet. Type a line in the terminal of the node, and it appears here.<//>`
  }

  return html`
    <ol class="entries">
      ${entries.map(({ id, author, name, own, time, bytes, text }) => html`
        <li key=${id}>
          <p class="by">
            <span class=${own ? 'own peer' : 'peer'} title=${author}>${name}</span>
            <time datetime=${new Date(time).toISOString()}>${timeOfDay(time)}</time>
            <span>${bytes}</span>
          </p>
          ${text == null
            ? html`<p class="muted">bytes that are no text</p>`
            : html`<p class="text"><bdi>${text}</bdi></p>`}
        </li>`)}
    </ol>`
}

/**
 * @param {number} time - in milliseconds since 1970, as its author says
 */
function timeOfDay (time) {
  const date = new Date(time)
  const isToday = date.toDateString() === new Date().toDateString()
  return isToday ? date.toLocaleTimeString() : date.toLocaleString()
}

/**
 * @param {{ view: View }} props
 */
function Peers ({ view: { peers, hiddenPeers, missing } }) {
  const columns = [
    { name: 'Peer' }, { name: 'Why it is a replicator, or is not' }, { name: 'Keeps' }, { name: 'Way' }, { name: 'Waiting for it' }
  ]

  return html`
    <${Table}
      label="Peers" columns=${columns}
      rows=${peers.map(({ peer, name, self, level, state, why, keeps, way, channel, lanes, remarks }) => ({
        key: peer,
        cells: [
          html`<${Peer} name=${name} peer=${peer} />${self ? html` <span class="muted">this node</span>` : null}`,
          html`<${Pill} level=${level}>${state}<//> <span class="why">${why}</span>`,
          keeps,
          html`${way}${self ? null : html`<br /><span class="muted">channel: ${channel}</span>`}`,
          lanes == null
            ? html`<span class="muted">${self ? '–' : 'no queue of its own'}</span>`
            : html`<${Lanes} lanes=${lanes} remarks=${remarks} />`
        ]
      }))}
    />
    ${hiddenPeers === 0 ? null : html`<p class="muted">and ${hiddenPeers} more</p>`}
    ${missing.length === 0
      ? null
      : html`
        <h3>Looked for</h3>
        <ul class="plain">
          ${missing.map(({ name, words }) => html`<li key=${name}><code>${name}</code> <span class="muted">${words}</span></li>`)}
        </ul>`}`
}

/**
 * @param {{ lanes: NonNullable<View['peers'][number]['lanes']>, remarks: string[] }} props
 */
function Lanes ({ lanes, remarks }) {
  const full = lanes.filter(({ isEmpty }) => !isEmpty)

  return html`
    ${full.length === 0
      ? html`<span class="muted">nothing, in ${lanes.length} lanes</span>`
      : html`<ul class="plain">${full.map(({ lane, bytes }) => html`<li key=${lane}>${lane}: ${bytes}</li>`)}</ul>`}
    ${remarks.map(remark => html`<span class="muted remark" key=${remark}>${remark}</span>`)}`
}

/**
 * @param {{ sync: View['sync'] }} props
 */
function Sync ({ sync }) {
  if (sync.length === 0) {
    return html`<${Nothing}>There is no other replicator to compare with.<//>`
  }

  return html`
    <ul class="bars">
      ${sync.map(({ peer, name, level, words, done }) => html`
        <li key=${peer}>
          <p><${Peer} name=${name} peer=${peer} /> <${Pill} level=${level}>${words}<//></p>
          <${Bar} label=${`In step with ${name}`} done=${done} />
        </li>`)}
    </ul>`
}

/**
 * @param {{ sessions: View['sessions'] }} props
 */
function Sessions ({ sessions }) {
  if (sessions == null) {
    return html`<${Nothing}>This node has none: what it says to neighbours is encrypted by the connection, up to each relay.<//>`
  }

  const { mode, crypto, problem, peers, hidden } = sessions
  return html`
    <p>Mode: ${mode}. <span class="muted">Heavy crypto is done ${crypto === 'none' ? 'nowhere yet' : `by ${crypto}`}.</span></p>
    ${problem == null ? null : html`<p><${Pill} level="bad">${problem}<//></p>`}
    ${peers.length === 0
      ? html`<${Nothing}>No session has begun yet.<//>`
      : html`
        <${Table}
          label="Sessions"
          columns=${[{ name: 'With' }, { name: 'Epoch', isNumber: true }, { name: 'Round' }, { name: 'Waiting' }]}
          rows=${peers.map(({ peer, name, epoch, round, connected, queued, problem }) => ({
            key: peer,
            cells: [
              html`<${Peer} name=${name} peer=${peer} />`,
              epoch,
              html`${round}${connected ? null : html`, <span class="muted">out of reach</span>`}${
                problem == null ? null : html`<br />${problem}`}`,
              queued
            ]
          }))}
        />`}
    ${hidden === 0 ? null : html`<p class="muted">and ${hidden} more</p>`}`
}

/**
 * @param {{ transfers: View['transfers'] }} props
 */
function Transfers ({ transfers }) {
  if (transfers.length === 0) {
    return html`<${Nothing}>Nothing large is under way.<//>`
  }

  return html`
    <ul class="bars">
      ${transfers.map(({ id, peer, name, direction, state, words, done }) => html`
        <li key=${`${id} ${peer}`}>
          <p>${direction} <${Peer} name=${name} peer=${peer} /> <span class="muted">${state}, ${words}</span></p>
          <${Bar} label=${`Transfer ${direction} ${name}`} done=${done} />
        </li>`)}
    </ul>`
}

/**
 * @param {{ mailboxes: View['mailboxes'], hidden: number }} props
 */
function Mailboxes ({ mailboxes, hidden }) {
  if (mailboxes.length === 0) {
    return html`<${Nothing}>Nothing waits: no mailbox has work.<//>`
  }

  return html`
    <${Table}
      label="Mailboxes that have work"
      columns=${[
        { name: 'Mailbox' }, { name: 'Owner' }, { name: 'Waiting', isNumber: true }, { name: 'Runs for', isNumber: true },
        { name: 'Longest', isNumber: true }
      ]}
      rows=${mailboxes.map(({ name, owner, depth, age, longest }) => ({
        key: `${name} ${owner}`, cells: [name, html`<span class="peer">${owner}</span>`, depth, `${age} ms`, `${longest} ms`]
      }))}
    />
    ${hidden === 0 ? null : html`<p class="muted">and ${hidden} more</p>`}`
}

/**
 * @param {{ lags: State['lags'] }} props
 */
function Lag ({ lags }) {
  const { median, longest } = lags[lags.length - 1]

  return html`
    <p>Now ${median} ms in the middle, ${longest} ms at most.</p>
    <${LagChart} lags=${lags} />`
}

/**
 * @param {{ node: View['node'], dropped: View['dropped'] }} props
 */
function Node ({ node, dropped }) {
  return html`
    <dl class="facts">
      <dt>Id</dt><dd><code>${node.peer}</code></dd>
      <dt>Store</dt><dd>${node.store}</dd>
      <dt>Listens on</dt>
      ${node.addresses.length === 0
        ? html`<dd>nothing</dd>`
        : node.addresses.map(address => html`<dd key=${address}><code>${address}</code></dd>`)}
    </dl>
    <details>
      <summary>Dropped and refused${dropped.length === 0 ? ': nothing' : ''}</summary>
      ${dropped.length === 0
        ? html`<${Nothing}>Nothing was dropped or refused.<//>`
        : html`
          <${Table}
            label="Dropped and refused" columns=${[{ name: 'Part' }, { name: 'Reason' }, { name: 'Times', isNumber: true }]}
            rows=${dropped.map(({ part, reason, count }) => ({ key: `${part} ${reason}`, cells: [part, reason, count] }))}
          />`}
    </details>`
}
