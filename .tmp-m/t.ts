import { tableLines } from '../test/session/table.ts'
console.log(tableLines().join('\n'))
