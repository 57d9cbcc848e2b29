/**
 * How the code is laid out, as lint rules. What they mean is in CONTRIBUTING.md.
 */
import { isBuiltin } from 'node:module'
import { dirname, relative, resolve, sep } from 'node:path'

/** A folder imports from itself and from what has a lower number */
const FLOORS = new Map(Object.entries({
  runtime: 0,
  link: 1,
  storage: 1,
  log: 2,
  pubsub: 2,
  connect: 3,
  session: 3,
  transfer: 3,
  replication: 4,
  database: 5,
  tabs: 6
}))

/** `src/index.ts` and what else lies beside it */
const TOP_FLOOR = 7

/** What a core may import of its own folder, beside what is in `core/`: its limits, which keep the rules of a core */
const LIMITS = 'constants.ts'

const LIBP2P = /^(@libp2p\/|@chainsafe\/libp2p-|libp2p($|\/))/
const NODE_TIMERS = /^(node:)?timers($|\/)/

/**
 * A global of which every mention is refused, or only some members of it
 *
 * @typedef {true | Set<string>} Forbidden
 */

/** @type {Record<string, Forbidden>} */
const CLOCK = {
  AbortSignal: new Set(['timeout']),
  Date: new Set(['now']),
  Math: new Set(['random']),
  clearImmediate: true,
  clearInterval: true,
  clearTimeout: true,
  performance: true,
  setImmediate: true,
  setInterval: true,
  setTimeout: true
}

/** @type {Record<string, Forbidden>} */
const IMPURE = {
  ...CLOCK,
  Promise: true,
  crypto: true,
  process: true,
  queueMicrotask: true
}

/** The names by which a global is reached as a member */
const GLOBAL_OBJECTS = new Set(['globalThis', 'self', 'window', 'global'])

/**
 * @typedef {object} Place
 * @property {string} folder - the folder below src, '' for src itself
 * @property {string} file - the path below that folder
 * @property {boolean} core - whether it is in a core folder
 */

/**
 * @param {string} path - absolute
 * @param {string} cwd
 * @returns {Place | undefined} undefined outside of src
 */
function placeOf (path, cwd) {
  const [src, ...parts] = relative(cwd, path).split(sep)

  if (src !== 'src') {
    return undefined
  }

  const folder = parts.length > 1 ? parts[0] : ''

  return {
    folder,
    file: parts.slice(folder === '' ? 0 : 1).join('/'),
    core: parts.slice(0, -1).includes('core')
  }
}

/**
 * @param {Place} place
 */
function floorOf ({ folder }) {
  return folder === '' ? TOP_FLOOR : FLOORS.get(folder)
}

/**
 * Calls back for every way there is to name another module
 *
 * @param {(node: any, specifier: string, isType: boolean) => void} found
 * @returns {import('eslint').Rule.RuleListener}
 */
function imports (found) {
  /**
   * @param {any} node
   */
  function declaration (node) {
    if (node.source == null) {
      return
    }

    const kind = node.importKind ?? node.exportKind
    const each = (node.specifiers ?? []).map((/** @type {any} */ specifier) => specifier.importKind ?? specifier.exportKind)

    found(node.source, node.source.value, kind === 'type' || (each.length > 0 && each.every((/** @type {string} */ kind) => kind === 'type')))
  }

  /**
   * @param {any} node
   */
  function expression (node) {
    if (typeof node.source.value === 'string') {
      found(node.source, node.source.value, false)
    }
  }

  /**
   * @param {any} node
   */
  function type (node) {
    const literal = node.source ?? node.argument?.literal

    if (typeof literal?.value === 'string') {
      found(literal, literal.value, true)
    }
  }

  return {
    ImportDeclaration: declaration,
    ExportNamedDeclaration: declaration,
    ExportAllDeclaration: declaration,
    ImportExpression: expression,
    TSImportType: type
  }
}

/**
 * The name of a member, where it is written out
 *
 * @param {any} property
 * @param {boolean} computed
 * @returns {string | undefined}
 */
function nameOf (property, computed) {
  return computed ? property.value : property.name ?? property.value
}

/**
 * The members that are taken from a mention of an object, e.g. `now` in
 * `Date.now` and in `const { now } = Date`
 *
 * @param {any} node
 * @returns {string[]}
 */
function membersOf (node) {
  const { parent } = node

  if (parent.type === 'MemberExpression' && parent.object === node) {
    return [nameOf(parent.property, parent.computed) ?? '']
  }

  const pattern = parent.type === 'VariableDeclarator' && parent.init === node ? parent.id : undefined

  if (pattern?.type === 'ObjectPattern') {
    return pattern.properties.map((/** @type {any} */ { key, computed }) => key == null ? '' : nameOf(key, computed) ?? '')
  }

  return []
}

/**
 * Calls back for each mention of a forbidden global or member of one
 *
 * @param {import('eslint').Rule.RuleContext} context
 * @param {Record<string, Forbidden>} forbidden
 * @param {(node: any, name: string) => void} found
 * @returns {import('eslint').Rule.RuleListener}
 */
function globals ({ sourceCode }, forbidden, found) {
  /**
   * @param {any} node
   * @param {string} name
   */
  function mention (node, name) {
    if (GLOBAL_OBJECTS.has(name)) {
      // `globalThis.setTimeout`, `globalThis.Date.now`
      membersOf(node).forEach(member => { mention(node.parent, member) })
      return
    }

    const rule = Object.hasOwn(forbidden, name) ? forbidden[name] : undefined

    if (rule === true) {
      found(node, name)
    } else if (rule != null) {
      membersOf(node).filter(member => rule.has(member)).forEach(member => { found(node, `${name}.${member}`) })
    }

    const { parent } = node
    const isCallee = (parent.type === 'NewExpression' || parent.type === 'CallExpression') && parent.callee === node

    // both read the time: new Date() and Date(); with arguments it is only a conversion
    if (name === 'Date' && rule != null && isCallee && (parent.type === 'CallExpression' || parent.arguments.length === 0)) {
      found(node, 'Date without an argument')
    }
  }

  return {
    'Program:exit' () {
      const scope = sourceCode.scopeManager.globalScope

      if (scope == null) {
        return
      }

      const references = [
        ...scope.through,
        ...scope.variables.filter(({ defs }) => defs.length === 0).flatMap(({ references }) => references)
      ]

      for (const node of new Set(references.map(({ identifier }) => identifier))) {
        mention(node, /** @type {any} */ (node).name)
      }
    }
  }
}

/**
 * @param {import('eslint').Rule.RuleListener[]} listeners
 * @returns {import('eslint').Rule.RuleListener}
 */
function together (...listeners) {
  /** @type {Record<string, any>} */
  const all = {}

  for (const [event, listener] of listeners.flatMap(listener => Object.entries(listener))) {
    const earlier = all[event]
    all[event] = earlier == null
      ? listener
      : (/** @type {any} */ node) => {
          earlier(node)
          listener?.(node)
        }
  }

  return all
}

/** @type {import('eslint').Rule.RuleModule} */
const floors = {
  meta: {
    type: 'problem',
    docs: { description: 'a file imports only from its own folder and from lower floors' },
    messages: {
      unknown: 'src/{{ folder }} is on no floor: name it in scripts/eslint-house.js and in CONTRIBUTING.md',
      outside: 'src imports nothing from outside of it: {{ specifier }}',
      higher: '{{ from }} is on floor {{ floor }} and may not import from {{ to }} on floor {{ target }}: only from its own folder and lower floors'
    },
    schema: []
  },
  create (context) {
    const place = placeOf(context.filename, context.cwd)

    if (place == null) {
      return {}
    }

    const floor = floorOf(place)

    return together({
      Program (node) {
        if (floor == null) {
          context.report({ node, loc: { line: 1, column: 0 }, messageId: 'unknown', data: { folder: place.folder } })
        }
      }
    }, imports((node, specifier) => {
      if (!specifier.startsWith('.')) {
        return
      }

      const target = placeOf(resolve(dirname(context.filename), specifier), context.cwd)

      if (target == null) {
        context.report({ node, messageId: 'outside', data: { specifier } })
        return
      }

      const targetFloor = floorOf(target)

      if (floor == null || targetFloor == null || target.folder === place.folder || targetFloor < floor) {
        return
      }

      context.report({
        node,
        messageId: 'higher',
        data: {
          from: `src/${place.folder}`,
          floor: String(floor),
          to: `src/${target.folder}`,
          target: String(targetFloor)
        }
      })
    }))
  }
}

/** @type {import('eslint').Rule.RuleModule} */
const clock = {
  meta: {
    type: 'problem',
    docs: { description: 'time and chance come from the injected clock' },
    messages: {
      global: '{{ name }}: outside of src/runtime time, timers and chance come from the injected clock',
      import: '{{ specifier }}: outside of src/runtime timers come from the injected clock'
    },
    schema: []
  },
  create (context) {
    return together(
      imports((node, specifier, isType) => {
        if (NODE_TIMERS.test(specifier) && !isType) {
          context.report({ node, messageId: 'import', data: { specifier } })
        }
      }),
      globals(context, CLOCK, (node, name) => {
        context.report({ node, messageId: 'global', data: { name } })
      })
    )
  }
}

/**
 * @param {string} specifier
 * @param {boolean} isType
 */
function isPurePackage (specifier, isType) {
  if (specifier === '@libp2p/interface') {
    return isType
  }

  return specifier === '@libp2p/peer-id' || !(LIBP2P.test(specifier) || isBuiltin(specifier))
}

/**
 * @param {Place} target
 * @param {Place} place
 */
function isPureNeighbour (target, place) {
  if (target.core || target.folder === 'runtime') {
    return true // whether it is on a lower floor is asked by the rule above
  }

  return target.folder === place.folder && target.file === LIMITS
}

/** @type {import('eslint').Rule.RuleModule} */
const pureCore = {
  meta: {
    type: 'problem',
    docs: { description: 'a core is data in, data out' },
    messages: {
      package: 'a core imports from libp2p only the types of @libp2p/interface and @libp2p/peer-id, and nothing from node: {{ specifier }}',
      shell: 'a core imports only from a core, from src/runtime and from the constants.ts of its own folder: {{ specifier }}',
      global: '{{ name }}: a core has no clock, no chance, no timers, no promises and no key store; what it needs to know is handed in, what it wants done it returns',
      async: 'a core is synchronous: return an effect, and take its result as an event'
    },
    schema: []
  },
  create (context) {
    const place = placeOf(context.filename, context.cwd)

    if (place == null) {
      return {}
    }

    /**
     * @param {any} node
     */
    function refuse (node) {
      context.report({ node, messageId: 'async' })
    }

    /** @type {import('eslint').Rule.RuleListener} */
    const synchronous = {
      ':function[async=true]': refuse,
      AwaitExpression: refuse,
      'ForOfStatement[await=true]': refuse
    }

    return together(
      synchronous,
      imports((node, specifier, isType) => {
        if (!specifier.startsWith('.')) {
          if (!isPurePackage(specifier, isType)) {
            context.report({ node, messageId: 'package', data: { specifier } })
          }

          return
        }

        const target = placeOf(resolve(dirname(context.filename), specifier), context.cwd)

        // from outside of src: the rule about floors says so
        if (target != null && !isPureNeighbour(target, place)) {
          context.report({ node, messageId: 'shell', data: { specifier } })
        }
      }),
      globals(context, IMPURE, (node, name) => {
        context.report({ node, messageId: 'global', data: { name } })
      })
    )
  }
}

/** @type {import('eslint').ESLint.Plugin} */
export default {
  meta: {
    name: 'house'
  },
  rules: {
    clock,
    floors,
    'pure-core': pureCore
  }
}
