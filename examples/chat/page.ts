/**
 * The page: shows what the profile says, and tells it what the person does. What others say is put into text nodes only
 */
import { openProfile } from './profile.ts'
import type { Conversation } from './conversation.ts'
import type { Person, Profile } from './profile.ts'

type Message = Conversation['messages'][number]
type FileState = ReturnType<Conversation['fileOf']>

const query = new URLSearchParams(location.search)
const find = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T
const messages = find('messages')
const text = find<HTMLTextAreaElement>('text')
const shown = new Map<string, HTMLElement>()
let profile: Profile | undefined
let chosen: Person | undefined
let isDue = false

function element (tag: string, className = '', ...children: Array<Node | string>): HTMLElement {
  const made = document.createElement(tag)
  made.className = className
  made.append(...children)
  return made
}

function button (label: string, onClick: () => void): HTMLElement {
  const made = element('button', '', label)
  made.addEventListener('click', onClick)
  return made
}

function complain (err: any): void {
  find('alert').textContent = `${err.name}: ${err.message}`
}

/** The relays that the server names now, or those that the address of this page does */
async function relays (): Promise<string[]> {
  return query.has('relay') ? query.getAll('relay') : (await fetch('relays.json')).json()
}

/** Many changes in a row are shown once */
function changed (): void {
  if (!isDue) {
    isDue = true
    // a page that nobody looks at gets no frames, and shows what is so all the same
    setTimeout(() => {
      isDue = false
      profile != null && show(profile)
    }, 30)
  }
}

function show (profile: Profile): void {
  const isNamed = profile.name != null

  if (find('register').hidden !== isNamed || find('chat').hidden === isNamed) {
    // it may be another tab in which this person registers
    find('register').hidden = isNamed
    find('chat').hidden = !isNamed
    find('me').textContent = profile.name ?? ''
    isNamed || find('name').focus()
  }

  const people = profile.people.sort((a, b) => Number(b.isHere) - Number(a.isHere) || (a.name < b.name ? -1 : 1))
  const { connections, tabs } = profile
  document.body.dataset.tab = tabs.state.status
  const connection = connections > 0 ? `connected to ${connections}` : 'not connected: what you say waits here'
  find('connection').textContent !== connection && (find('connection').textContent = connection)
  find('nobody').hidden = people.length > 0
  showPeople(people)

  if (chosen != null) {
    showTalk(chosen)
  }
}

function showPeople (people: Person[]): void {
  const list = find('people')
  // the one that has the focus keeps it
  const buttons = new Map(Array.from(list.querySelectorAll('button'), made => [made.dataset.id, made]))

  for (const person of people) {
    const made = buttons.get(person.id) ?? button('', () => { choose(person) }) as HTMLButtonElement
    const isNew = made.dataset.id == null
    made.dataset.id = person.id
    made.setAttribute('aria-current', String(person === chosen))
    const said = `${person.name}${person.isHere ? 'online' : 'away'}`

    if (made.textContent !== said) {
      made.replaceChildren(element('span', '', person.name),
        element('span', person.isHere ? 'presence here' : 'presence', person.isHere ? 'online' : 'away'))
    }
    if (isNew) {
      list.append(element('li', '', made))
    }
  }
}

function choose (person: Person): void {
  chosen = person
  shown.clear()
  messages.replaceChildren()
  find('talk').hidden = false
  text.focus()
  changed()
}

function showTalk ({ name, isHere, conversation }: Person): void {
  const isAtEnd = messages.scrollHeight - messages.scrollTop - messages.clientHeight < 60
  find('with').textContent = `${name} (${isHere ? 'online' : 'away'})`
  conversation.messages.forEach((message, i) => {
    const made = shown.get(message.id) ?? element('li', message.state === 'received' ? 'theirs' : 'mine')
    shown.set(message.id, made)
    showMessage(made, message, conversation)
    messages.children[i] !== made && messages.insertBefore(made, messages.children[i] ?? null)
  })

  if (isAtEnd) {
    messages.scrollTop = messages.scrollHeight
  }
  if (document.visibilityState === 'visible') {
    conversation.seen()
  }
}

/** Only what is not as it was is made anew: buttons keep the focus, and nothing is read out twice */
function showMessage (made: HTMLElement, message: Message, conversation: Conversation): void {
  const file = message.file == null ? undefined : conversation.fileOf(message.file.transfer)
  const when = new Date(message.time).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' })
  const line = message.state === 'received' ? when : `${when} · ${message.state}`
  const kind = `${message.text === ''} ${file?.state} ${file?.url}`

  if (made.dataset.kind !== kind) {
    made.dataset.kind = kind
    const body = message.file == null ? message.text : bodyOf(message.file, message.state, conversation, file)
    made.replaceChildren(body, element('small'))
  }

  const bar = made.querySelector('progress')
  bar != null && (bar.value = file?.bytes ?? 0)
  made.lastElementChild != null && made.lastElementChild.textContent !== line &&
    (made.lastElementChild.textContent = line)
}

function bodyOf (
  { transfer, name, size }: NonNullable<Message['file']>, state: Message['state'], conversation: Conversation,
  file: FileState
): HTMLElement {
  const made = element('div', 'file', element('span', '', `${name} (${sizeOf(size)})`))
  const stop = (label: string): HTMLElement => button(label, () => { conversation.stop(transfer).catch(complain) })

  switch (file?.state) {
    case 'offered':
      made.append(...file.isMine
        ? ['waits to be accepted', stop('Cancel')]
        : [button('Accept', () => { conversation.accept(transfer).catch(complain) }), stop('Refuse')])
      break
    case 'moving': {
      const bar = document.createElement('progress')
      bar.max = size
      bar.setAttribute('aria-label', `${name}: how much has arrived`)
      made.append(bar, stop('Cancel'))
      break
    }
    case 'done': {
      const link = document.createElement('a')
      link.textContent = 'Save'
      link.href = file.url ?? ''
      link.download = name
      made.append(file.url == null ? 'has arrived' : link)
      break
    }
    case 'failed':
      made.append(`did not arrive: ${file.why}`)
      break
    case undefined:
      made.append(state === 'received' ? 'offered earlier' : 'sent earlier')
      break
  }

  return made
}

function sizeOf (bytes: number): string {
  return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`
}

function listen (): void {
  find('register').addEventListener('submit', event => {
    event.preventDefault()
    const { value } = find<HTMLInputElement>('name')
    value.trim() !== '' && profile?.register(value).catch(complain)
  })
  find('say').addEventListener('submit', event => {
    event.preventDefault()

    if (text.value.trim() !== '') {
      chosen?.conversation.say({ text: text.value }).catch(complain)
      text.value = ''
    }
  })
  text.addEventListener('keydown', event => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
      event.preventDefault()
      find<HTMLFormElement>('say').requestSubmit()
    }
  })

  const give = (files: FileList | null | undefined): void => {
    Array.from(files ?? []).forEach(file => { chosen?.conversation.sendFile(file).catch(complain) })
  }
  const picker = find<HTMLInputElement>('file')
  picker.addEventListener('change', () => {
    give(picker.files)
    picker.value = ''
  })
  const talk = find('talk')
  talk.addEventListener('dragover', event => {
    event.preventDefault()
    talk.classList.add('dropping')
  })
  talk.addEventListener('dragleave', () => { talk.classList.remove('dropping') })
  talk.addEventListener('drop', event => {
    event.preventDefault()
    talk.classList.remove('dropping')
    give(event.dataTransfer?.files)
  })
  document.addEventListener('visibilitychange', changed)
}

async function run (): Promise<void> {
  const opened = await openProfile({ relays, onChange: changed, direct: query.get('direct') !== 'no' })
  profile = opened
  listen()
  show(opened)
  // the others hear at once that this person is gone
  addEventListener('pagehide', () => { opened.close().catch(() => {}) })
  // the browser had kept the page, whose profile is closed
  window.addEventListener('pageshow', ({ persisted }) => { persisted && location.reload() })
}

run().catch(complain)
