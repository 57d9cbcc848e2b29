import { LagChart } from './chart.js'
import { html } from './html.js'
import { Bar, Nothing, Peer, Pill, Table } from './tables.js'

/** @import { State } from './main.js' */
/** @import { View } from '../core/view.ts' */

/**
 * @param {{ entries: View['entries'] }} props
 */
export function Entries ({ entries }) {
  if (entries.length === 0) {
    return html`
      <${Nothing}>Nothing is in the log yet. Type a line in the terminal of the node, and it appears here.<//>`
  }

  return html`
    <ol class="entry-list">
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
export function timeOfDay (time) {
  const date = new Date(time)
  const isToday = date.toDateString() === new Date().toDateString()
  return isToday ? date.toLocaleTimeString() : date.toLocaleString()
}

/**
 * @param {{ view: View }} props
 */
export function Peers ({ view: { peers, hiddenPeers, missing } }) {
  const columns = ['Peer', 'Why it is a replicator, or is not', 'Keeps', 'Way', 'Waiting for it']
    .map(name => ({ name }))

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
          ${missing.map(({ name, words }) => html`
            <li key=${name}><code>${name}</code> <span class="muted">${words}</span></li>`)}
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
export function Sync ({ sync }) {
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
export function Sessions ({ sessions }) {
  if (sessions == null) {
    return html`
      <${Nothing}>This node has none: each connection encrypts what it says, and relays can read it.<//>`
  }

  const { mode, crypto, problem, peers, hidden } = sessions
  return html`
    <p>Mode: ${mode}. <span class="muted">Heavy crypto: ${crypto}.</span></p>
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
export function Transfers ({ transfers }) {
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
export function Mailboxes ({ mailboxes, hidden }) {
  if (mailboxes.length === 0) {
    return html`<${Nothing}>Nothing waits: no mailbox has work.<//>`
  }

  return html`
    <${Table}
      label="Mailboxes that have work"
      columns=${[
        { name: 'Mailbox' }, { name: 'Owner' }, { name: 'Waiting', isNumber: true },
        { name: 'Runs for', isNumber: true }, { name: 'Longest', isNumber: true }
      ]}
      rows=${mailboxes.map(({ name, owner, depth, age, longest }, i) => ({
        // two owners may have the same last letters
        key: `${name} ${owner} ${i}`,
        cells: [name, html`<span class="peer">${owner}</span>`, depth, `${age} ms`, `${longest} ms`]
      }))}
    />
    ${hidden === 0 ? null : html`<p class="muted">and ${hidden} more</p>`}`
}

/**
 * @param {{ lags: State['lags'] }} props
 */
export function Lag ({ lags }) {
  const { median, longest } = lags[lags.length - 1]

  return html`
    <p>In the last second ${median} ms in the middle, and ${longest} ms at most.</p>
    <${LagChart} lags=${lags} />`
}

/**
 * @param {{ node: View['node'], dropped: View['dropped'] }} props
 */
export function Node ({ node, dropped }) {
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
            label="Dropped and refused"
            columns=${[{ name: 'Part' }, { name: 'Reason' }, { name: 'Times', isNumber: true }]}
            rows=${dropped.map(({ part, reason, count }) => ({
              key: `${part} ${reason}`, cells: [part, reason, count]
            }))}
          />`}
    </details>`
}
