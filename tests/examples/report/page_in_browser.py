#!/usr/bin/env python3
"""Looks at a page of layerwise-profile --html or layerwise-report in a real browser. Run by hand, not in CI:

    page_in_browser.py PAGE.html FOLDER [--browser chromium]

Fails where the browser's console says anything, where the page is wider than the window, fetches something, can't be selected
as text, or where a chart or heat map does not answer pointer, focus and arrow keys. Into FOLDER go pictures in light, dark and
phone width, the page as printed, and one with the box of numbers open, to be looked at. Needs Debian's chromium, no package."""

import argparse
import base64
import json
import os
import pathlib
import subprocess
import sys
import tempfile


class Browser:
    """Chromium's DevTools protocol through a pipe: messages of JSON that end in a zero byte."""

    def __init__(self, program, profile):
        to_browser, self.out = os.pipe()
        self.into, from_browser = os.pipe()
        # It reads its descriptor 3 and writes to its 4.
        command = f'exec {program} --headless --no-sandbox --disable-gpu --user-data-dir={profile} ' \
            f'--remote-debugging-pipe 3<&{to_browser} 4>&{from_browser}'
        self.process = subprocess.Popen(['bash', '-c', command], pass_fds=(to_browser, from_browser), stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.rest, self.number, self.session, self.events = b'', 0, None, []
        target = self.call('Target.createTarget', url='about:blank')['targetId']
        self.session = self.call('Target.attachToTarget', targetId=target, flatten=True)['sessionId']

    def read(self):
        while b'\0' not in self.rest:
            some = os.read(self.into, 1 << 20)
            if not some:
                sys.exit('the browser has ended')
            self.rest += some
        message, self.rest = self.rest.split(b'\0', 1)
        return json.loads(message)

    def call(self, method, **parameters):
        self.number += 1
        message = {'id': self.number, 'method': method, 'params': parameters}
        if self.session:
            message['sessionId'] = self.session
        data = json.dumps(message).encode() + b'\0'
        while data:
            data = data[os.write(self.out, data):]
        while True:
            answer = self.read()
            if answer.get('id') == self.number:
                if 'error' in answer:
                    sys.exit(f'{method}: {answer["error"]}')
                return answer['result']
            self.events.append(answer)

    def wait_for(self, event):
        while not any(each.get('method') == event for each in self.events):
            self.events.append(self.read())

    def value(self, expression):
        answer = self.call('Runtime.evaluate', expression=expression, returnByValue=True, awaitPromise=True)
        if 'exceptionDetails' in answer:
            sys.exit(f'{expression}: {answer["exceptionDetails"]}')
        return answer['result'].get('value')

    def key(self, name):
        for kind in ('rawKeyDown', 'keyUp'):
            codes = {'Tab': 9, 'ArrowRight': 39, 'ArrowDown': 40, 'End': 35, 'Home': 36}
            self.call('Input.dispatchKeyEvent', type=kind, key=name, code=name, windowsVirtualKeyCode=codes[name])


failures = []


def check(holds, what):
    print(('ok      ' if holds else 'FAILED  ') + what)
    if not holds:
        failures.append(what)


def picture(browser, path, whole=True):
    size = browser.call('Page.getLayoutMetrics')['cssContentSize']
    clip = {'x': 0, 'y': 0, 'width': size['width'], 'height': min(size['height'], 12000), 'scale': 1}
    extra = {'captureBeyondViewport': True, 'clip': clip} if whole else {}
    path.write_bytes(base64.b64decode(browser.call('Page.captureScreenshot', **extra)['data']))


def window(browser, width, height, dark):
    browser.call('Emulation.setDeviceMetricsOverride', width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
    scheme = 'dark' if dark else 'light'
    browser.call('Emulation.setEmulatedMedia', features=[{'name': 'prefers-color-scheme', 'value': scheme}])
    browser.value('new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))')


def answers_keys(browser, selector, what):
    """Focus by Tab alone, then arrows: the box of numbers follows."""
    browser.value('document.activeElement.blur(); getSelection().removeAllRanges(); scrollTo(0, 0)')
    for _ in range(200):
        browser.key('Tab')
        if browser.value(f'document.activeElement.matches({selector!r})'):
            break
    check(browser.value(f'document.activeElement.matches({selector!r})'), f'{what} is reached by Tab')
    check(browser.value('!tip.hidden'), f'{what} shows numbers on focus')
    if browser.value('document.activeElement.ariaValueMax') == '1':
        return  # of one layer
    before = browser.value('tip.textContent')
    browser.key('ArrowRight')
    check(browser.value('tip.textContent') != before, f'{what} follows the arrow keys')


def pointer(browser, selector, what):
    browser.value(f'document.activeElement.blur(); document.querySelector({selector!r}).scrollIntoView({{block: "center"}})')
    box = browser.value(f'(({{x, y, width, height}}) => [x, y, width, height])(document.querySelector({selector!r}).getBoundingClientRect())')
    browser.value('new Promise((done) => setTimeout(done, 200))')  # the scroll hides the box
    browser.call('Input.dispatchMouseEvent', type='mouseMoved', x=box[0] + 0.6 * box[2], y=box[1] + 0.4 * box[3])
    check(browser.value('!tip.hidden && tip.textContent.length > 5'), f'{what} shows numbers under the pointer')
    fits = 'tip.getBoundingClientRect().left >= 0 && tip.getBoundingClientRect().right <= innerWidth'
    check(browser.value(fits), f'the box of numbers of {what} is inside the window')


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('page', type=pathlib.Path)
    parser.add_argument('folder', type=pathlib.Path)
    parser.add_argument('--browser', default='chromium')
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        browser = Browser(asked.browser, profile)
        for domain in ('Page', 'Runtime', 'Log', 'Network'):
            browser.call(f'{domain}.enable')
        window(browser, 1280, 900, False)
        browser.call('Page.navigate', url=asked.page.resolve().as_uri())
        browser.wait_for('Page.loadEventFired')

        has_map = browser.value('document.querySelector(".heat") !== null')
        for name, width, dark in (('light', 1280, False), ('dark', 1280, True), ('phone', 390, False), ('phone_dark', 390, True)):
            window(browser, width, 900, dark)
            check(browser.value('document.documentElement.scrollWidth <= innerWidth'), f'{name}: no wider than the window')
            overlong = '[...document.querySelectorAll("main *")].filter((e) => !e.closest(".scroll") && !e.closest("svg") && ' \
                'e.getBoundingClientRect().right > innerWidth + 1).length'
            check(browser.value(overlong) == 0, f'{name}: nothing is cut off at the right')
            picture(browser, asked.folder / f'{name}.png')
            pointer(browser, '.plot', f'{name}: a chart')
            picture(browser, asked.folder / f'{name}_pointer.png', whole=False)
            if has_map:
                pointer(browser, '.heat', f'{name}: a heat map')
        window(browser, 1280, 900, True)
        answers_keys(browser, '.plot[role=slider]', 'a chart')
        check(bool(browser.value('document.activeElement.getAttribute("aria-valuetext").includes("layer")')),
              'a chart tells its layer to screen readers')
        picture(browser, asked.folder / 'keyboard.png', whole=False)
        if has_map:
            answers_keys(browser, '.heat', 'a heat map')
            check(browser.value('said.textContent.length > 0'), 'a heat map tells its numbers to screen readers')
        check(browser.value('[...document.querySelectorAll("[tabindex]")].every((e) => e.ariaLabel || e.getAttribute("aria-labelledby"))'),
              'all that takes the focus has a name')
        check(browser.value('getSelection().selectAllChildren(document.getElementById("page")), getSelection().toString().includes("layer")'),
              'text can be selected')
        browser.call('Input.dispatchMouseEvent', type='mouseMoved', x=1, y=1)
        boxes = browser.value('document.querySelectorAll(".controls input").length')
        for i in range(boxes):  # each off and on again
            before = browser.value('document.querySelector(".cards").innerHTML')
            browser.value(f'document.querySelectorAll(".controls input")[{i}].click()')
            check(browser.value('document.querySelector(".cards").innerHTML') != before, f'box {i} changes the charts')
            browser.value(f'document.querySelectorAll(".controls input")[{i}].click()')
            check(browser.value('document.querySelector(".cards").innerHTML') == before, f'box {i} changes them back')
        pdf = browser.call('Page.printToPDF', printBackground=False, preferCSSPageSize=True, paperWidth=8.27, paperHeight=11.69)
        (asked.folder / 'print.pdf').write_bytes(base64.b64decode(pdf['data']))

        said = [e for e in browser.events if e.get('method') in ('Runtime.consoleAPICalled', 'Runtime.exceptionThrown', 'Log.entryAdded')]
        check(not said, f'the console is empty {said if said else ""}')
        fetched = [e['params']['request']['url'][:80] for e in browser.events if e.get('method') == 'Network.requestWillBeSent']
        check(all(url.startswith(('file:', 'data:', 'about:')) for url in fetched) and len([u for u in fetched if u.startswith('file:')]) == 1,
              f'nothing is fetched but the page: {fetched}')
        browser.session = None
        browser.call('Browser.close')
        browser.process.wait(timeout=30)
    sys.exit(1 if failures else 0)


main()
