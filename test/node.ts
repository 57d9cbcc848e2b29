/**
 * What runs in Node only, in two parts: `npm test` runs them beside each other
 */
import './node-sockets.ts'
import './node-worlds.ts'
