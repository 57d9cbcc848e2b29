import { html } from './html.js'

/** @import { ComponentChildren, VNode } from 'preact' */

/**
 * @typedef {object} Column
 * @property {string} name - what stands above it
 * @property {boolean} [isNumber] - aligned to the right
 */

/**
 * A table that becomes a list of cards where there is no room for it. The roles are said once more, as browsers forget
 * them where a table is not laid out as one
 *
 * @param {object} props
 * @param {string} props.label
 * @param {Column[]} props.columns
 * @param {Array<{ key: string, cells: ComponentChildren[] }>} props.rows - the first cell names the row
 */
export function Table ({ label, columns, rows }) {
  return html`
    <table role="table" aria-label=${label}>
      <thead role="rowgroup">
        <tr role="row">
          ${columns.map(({ name, isNumber }) => html`
            <th role="columnheader" scope="col" class=${isNumber === true ? 'number' : ''}>${name}</th>`)}
        </tr>
      </thead>
      <tbody role="rowgroup">
        ${rows.map(({ key, cells }) => html`
          <tr role="row" key=${key}>
            ${cells.map((cell, i) => i === 0
              ? html`<th role="rowheader" scope="row">${cell}</th>`
              : html`
                <td role="cell" data-label=${columns[i].name} class=${columns[i].isNumber === true ? 'number' : ''}>
                  <div>${cell}</div>
                </td>`)}
          </tr>`)}
      </tbody>
    </table>`
}

/**
 * @param {object} props
 * @param {string} props.title
 * @param {string} [props.about]
 * @param {string} props.id
 * @param {ComponentChildren} [props.children]
 */
export function Card ({ title, about, id, children }) {
  return html`
    <section class=${`card of-${id}`} aria-labelledby=${id}>
      <h2 id=${id}>${title}</h2>
      ${about == null ? null : html`<p class="about">${about}</p>`}
      ${children}
    </section>`
}

/**
 * What stands where there is nothing
 *
 * @param {object} props
 * @param {ComponentChildren} [props.children]
 */
export function Nothing ({ children }) {
  return html`<p class="nothing">${children}</p>`
}

/**
 * The last letters of an id tell peers apart; all of it is there for who points at it, or copies it
 *
 * @param {object} props
 * @param {string} props.name
 * @param {string} props.peer
 */
export function Peer ({ name, peer }) {
  return html`<span class="peer" title=${peer}>${name}</span>`
}

/**
 * @param {object} props
 * @param {string} props.label
 * @param {number} [props.done] - from 0 to 1; missing: nobody knows
 */
export function Bar ({ label, done }) {
  return html`<progress aria-label=${label} max="1" value=${done}></progress>`
}

const ICONS = { good: '✓', wait: '!', bad: '✕', idle: '–' }

/**
 * A colour, a sign and a word
 *
 * @param {object} props
 * @param {keyof typeof ICONS} props.level
 * @param {ComponentChildren} [props.children]
 */
export function Pill ({ level, children }) {
  return html`<span class=${`pill ${level}`}><span aria-hidden="true">${ICONS[level]}</span> ${children}</span>`
}

/**
 * @param {object} props
 * @param {keyof typeof ICONS} props.level
 */
export function Icon ({ level }) {
  return html`<span class=${`icon ${level}`} aria-hidden="true">${ICONS[level]}</span>`
}
