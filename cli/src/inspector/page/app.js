import { html } from './html.js'
import { Legend, Ring } from './ring.js'
import { Entries, Lag, Mailboxes, Node, Peers, Sessions, Sync, timeOfDay, Transfers } from './sections.js'
import { Card, Icon, Nothing, Peer } from './tables.js'

/** @import { State } from './main.js' */
/** @import { View } from '../core/view.ts' */

/**
 * @param {State} state
 */
export function App ({ view, isLive, seenAt, lags }) {
  if (view == null) {
    return html`
      <main class="empty">
        <h1>sheaf inspector</h1>
        <p role="status">Connecting to the node. If this stays, the node does not run.</p>
      </main>`
  }

  return html`
    <${Header} node=${view.node} log=${view.log} isLive=${isLive} seenAt=${seenAt} />
    <main>
      <${Safety} safety=${view.safety} problems=${view.problems} />
      <${Numbers} numbers=${view.numbers} />
      <div class="grid">
        <${Card} id="ring" title="The ring" about=${RING}>
          ${view.ring.tracks.length === 0
            ? html`<${Nothing}>Nobody who is here keeps anything of this log.<//>`
            : html`
              <div class="ring-and-legend">
                <${Ring} ring=${view.ring} />
                <${Legend} ring=${view.ring} self=${view.node.peer} />
              </div>`}
        <//>
        <${Card} id="entries" title="Latest entries">
          <${Entries} entries=${view.entries} />
        <//>
        <${Card} id="peers" title="Peers" about="Who is a replicator, who is not, and why.">
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
        Read-only, and for this machine.${' '}
        <a href="state.json">All of this as JSON</a> · <a href="metrics">Metrics for Prometheus</a>
      </p>
    </footer>`
}

const RING = 'Each entry has a place on it. The outer band counts the copies of what lies where. Each track is one ' +
  'replicator: the segments that it announced, and pale what else it keeps.'

/**
 * @param {{ node: View['node'], log: string, isLive: boolean, seenAt: number }} props
 */
function Header ({ node, log, isLive, seenAt }) {
  return html`
    <header>
      <div>
        <p class="brand">sheaf inspector</p>
        <h1><bdi>${log}</bdi></h1>
        <p class="muted">at <${Peer} name=${node.name} peer=${node.peer} />, up for ${node.uptime}</p>
      </div>
      <p class=${`live ${isLive ? 'good' : 'bad'}`} role="status">
        <span class="dot" aria-hidden="true"></span>${' '}
        ${isLive ? 'Live' : `The node does not answer: this is from ${timeOfDay(seenAt)}`}
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
