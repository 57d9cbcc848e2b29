import htm from 'htm'

/**
 * @template Node
 * @typedef {(type: any, props: Record<string, any> | null, ...children: any[]) => Node} Create
 */

/**
 * For the type checker, whom the types of the package lead astray: at this address the inspector serves the package
 * itself
 *
 * @type {{ bind <Node> (create: Create<Node>): (markup: TemplateStringsArray, ...values: any[]) => Node | Node[] }}
 */
const typed = /** @type {any} */ (htm)

export default typed
