import { append } from './append.ts'
import { cat } from './cat.ts'
import { status } from './status.ts'

/** What can be done on a log, here or by the process that has the store */
export const WORKS = { append, cat, status }
