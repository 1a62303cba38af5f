#!/usr/bin/python3
# SPDX-FileCopyrightText: The qemuctl authors
# SPDX-License-Identifier: Apache-2.0
"""browser.py SCENARIO URL TEMPORARY-FOLDER FOLDER-OF-SCREENSHOTS: what a person does on the web page.

Descriptor 3 is a socket to the test: a line asks for something that happens on the host, and gets a line when it has.
Exit status 77: there is no browser here.
"""
import base64
import os
import shutil
import socket
import sys
from contextlib import contextmanager

no_browser = 77
try:
    from selenium import webdriver
    from selenium.common.exceptions import NoSuchElementException, StaleElementReferenceException
    from selenium.webdriver import ActionChains
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait
except ImportError:
    sys.exit(no_browser)

deadline = 20  # seconds, for each thing that is waited for


class Page:
    def __init__(self, driver, url, screenshots):
        self.driver = driver
        self.url = url
        self.screenshots = screenshots
        test = socket.socket(fileno=3)
        self.requests, self.answers = test.makefile("w"), test.makefile("r")

    def ask(self, request):
        """Has the test do something."""
        self.requests.write(request + "\n")
        self.requests.flush()
        answer = self.answers.readline().rstrip("\n")
        assert answer and not answer.startswith("failed"), answer or "the test has gone"
        return answer

    def open(self):
        self.driver.get(self.url)
        self.wait_for_text("#connection", "Live")

    def wait(self, what, holds):
        ignored = [NoSuchElementException, StaleElementReferenceException]
        return WebDriverWait(self.driver, deadline, 0.05, ignored).until(lambda _: holds(), "waited in vain: " + what)

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def text(self, selector):
        return self.one(selector).text

    def wait_for(self, selector):
        return self.wait(selector, lambda: self.one(selector))

    def wait_for_text(self, selector, text):
        self.wait(f"{text!r} in {selector}", lambda: text in self.text(selector))

    def wait_until_gone(self, selector):
        self.wait(f"no {selector}", lambda: not self.all(selector))

    def click(self, selector):
        self.wait_for(selector).click()

    def keys(self, *keys):
        ActionChains(self.driver).send_keys(*keys).perform()

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def command(self, name, **arguments):
        return self.driver.execute_cdp_cmd(name, arguments)

    def focused(self):
        return self.run("return document.activeElement.id")

    def screenshot(self, name):
        os.makedirs(self.screenshots, exist_ok=True)
        picture = self.command("Page.captureScreenshot", format="png")["data"]
        with open(os.path.join(self.screenshots, name + ".png"), "wb") as file:
            file.write(base64.b64decode(picture))


def column(where):
    return "#column-host" if where is None else f"#column-vm-{where}"


def card(port, where=None):
    return f"{column(where)} #device-usb-3-{port}"


def menu(port):
    return f"#menu-usb-3-{port}"


def item(page, text):
    """The item of the open menu that begins with that."""
    return page.wait(f"an item {text!r}", lambda: next(
        (each for each in page.all("#menu [role=menuitem]") if each.text.startswith(text)), None))


# Scenarios


def plug_and_pull(page):
    page.open()
    page.run("window.loadedOnce = true")
    page.ask("plug 4 Stick")
    page.wait_for(card(4, "a"))
    assert "Stick" in page.text(card(4, "a"))
    assert "046d:c52b" in page.text(card(4, "a"))
    assert "3-4" in page.text(card(4, "a"))
    page.wait_for_text(".log", "is in VM a now")
    page.ask("plug 5 Lamp")
    page.wait_for("#column-host .others #device-usb-3-5")
    page.ask("pull 4")
    page.wait_until_gone("#device-usb-3-4")
    page.wait_for_text(".log", "was unplugged")
    assert page.run("return window.loadedOnce")


def drag_to(page, what, where):
    """Moves it there, and leaves it in the air."""
    hands = ActionChains(page.driver)
    hands.move_to_element(page.wait_for(what)).click_and_hold().move_by_offset(8, 4).perform()
    page.wait_for(".hint")
    ActionChains(page.driver).move_to_element(page.one(where + " h2")).perform()
    ActionChains(page.driver).move_by_offset(3, 3).perform()
    page.wait_for(where + ".over")


def drop(page):
    ActionChains(page.driver).release().perform()
    page.wait_until_gone(".hint")


def drag(page):
    page.open()
    page.ask("plug 4 Stick")
    drag_to(page, card(4, "a"), column(None))
    assert page.text(column(None) + " > .hint") == "Detach from a"
    assert page.text(column("a") + " > .hint") == "Not here: it is there"
    assert page.text(column("b") + " > .hint") == "Not here: the rules let it only into a"
    assert "impossible" in page.one(column("b")).get_attribute("class")
    drop(page)
    page.wait_for(card(4))
    page.wait_for_text(card(4), "kept out by hand")

    drag_to(page, card(4), column("b"))  # where it cannot be
    drop(page)
    assert page.all(card(4))
    assert not page.all(".busy") and not page.all(".banner")

    drag_to(page, card(4), column("a"))
    assert page.text(column("a") + " > .hint") == "Attach to a"
    drop(page)
    page.wait_for(card(4, "a"))


def question(page):
    page.open()
    page.ask("plug 6 Key")
    page.wait_for_text(".question", "Which VM is Key (3-6) for?")
    page.wait_for_text("#announcement", "which VM is it for?")
    answers = page.all(".question button")
    assert [each.text.split("\n")[0] for each in answers] == ["a", "b", "c", "None: the host keeps it"]
    assert "does not run" in answers[2].text
    assert answers[2].get_attribute("aria-disabled") == "true"
    answers[2].click()
    assert page.all(".question")
    page.click("#answer-usb-3-6-b")
    page.wait_for(card(6, "b"))
    page.wait_until_gone(".question")

    page.ask("plug 7 Key")
    page.click("#answer-usb-3-7-")
    page.wait_until_gone(".question")
    page.wait_for_text(card(7), "kept out by hand")


def refusal(page):
    page.open()
    page.ask("plug 4 Stick")
    page.wait_for_text(card(4) + " .problem", "failed to find host usb device")
    page.wait_for_text(".log", "failed to find host usb device")
    page.click(menu(4))
    item(page, "Attach to a").click()
    page.wait_for_text("[role=alert]", "failed to find host usb device")
    page.click("#dismiss")
    page.wait_until_gone("[role=alert]")


def reconnect(page):
    page.open()
    page.ask("plug 4 Stick")
    page.wait_for(card(4, "a"))
    page.ask("stop-service")
    page.wait_for_text("#connection", "Connection lost")
    page.wait_for_text(".banner", "Connection lost")
    assert page.text("#announcement") == "Connection lost"
    assert page.all(card(4, "a"))  # as it was
    page.ask("pull 4")
    page.ask("plug 5 Stick")
    page.ask("start-service")
    page.wait_for_text("#connection", "Live")
    page.wait_until_gone(".banner")
    page.wait_for(card(5, "a"))
    page.wait_until_gone("#device-usb-3-4")
    page.ask("plug 6 Stick")  # and it is told what comes then
    page.wait_for(card(6, "a"))


def tab_to(page, wanted, most=60):
    for _ in range(most):
        page.keys(Keys.TAB)
        if page.focused() == wanted:
            return
    raise AssertionError(f"Tab does not lead to {wanted}")


def keyboard(page):
    page.open()
    page.ask("plug 6 Key")
    page.wait_for(".question")
    tab_to(page, "answer-usb-3-6-b")
    page.keys(Keys.ENTER)
    page.wait_for(card(6, "b"))

    tab_to(page, "menu-usb-3-6")
    outline = page.run("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "the focus cannot be seen"
    page.keys(Keys.ENTER)
    page.wait("the menu has the focus", lambda: page.focused() == "item-host")
    page.keys(Keys.ESCAPE)
    page.wait_until_gone("#menu")
    assert page.focused() == "menu-usb-3-6"

    page.keys(Keys.ARROW_DOWN)
    page.wait("the menu has the focus", lambda: page.focused() == "item-host")
    page.keys(Keys.ARROW_DOWN)
    assert page.focused() == "item-vm:a"
    page.keys(Keys.END)
    assert page.focused() == "item-explain"
    page.keys(Keys.HOME, Keys.ARROW_UP, Keys.ARROW_UP)
    assert page.focused() == "item-vm:c"
    page.keys(Keys.ENTER)  # it does not run
    assert page.all("#menu") and not page.all(".busy")
    page.keys(Keys.ARROW_UP, Keys.ENTER)
    page.wait_for(card(6, "a"))
    page.wait("the focus goes with the card", lambda: page.focused() == "menu-usb-3-6")

    page.keys(Keys.ARROW_DOWN)
    page.wait("the menu has the focus", lambda: page.focused() == "item-host")
    page.keys(" ")
    page.wait_for(card(6))

    page.run("document.activeElement.blur()")
    tab_to(page, "stop-vm-a")
    page.keys(Keys.ENTER)
    page.wait("the harmless answer has the focus", lambda: page.focused() == "cancel")
    page.keys(Keys.ENTER)
    page.wait_until_gone("dialog")
    assert page.focused() == "stop-vm-a"


def tree(page):
    """Roles and names of all that is not ignored."""
    nodes = page.command("Accessibility.getFullAXTree")["nodes"]
    return [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if not node["ignored"]]


def accessibility_tree(page):
    page.open()
    page.ask("plug 4 Stick")
    page.ask("plug 6 Key")
    page.wait_for(card(4, "a"))
    page.wait_for(".question")
    found = tree(page)
    for wanted in [
            ("RootWebArea", "qemuctl"), ("banner", ""), ("main", ""), ("status", ""),
            ("heading", "qemuctl"), ("searchbox", "Filter devices"),
            ("region", "Questions"), ("group", "Which VM is Key (3-6) for?"), ("button", "b"),
            ("region", "Host"), ("heading", "Host"), ("region", "a"), ("heading", "a"), ("region", "c"),
            ("button", "Pause a"), ("button", "Shut down a"), ("button", "Force stop b"),
            ("listitem", "Stick"), ("heading", "Stick"), ("button", "Actions for Stick"),
            ("button", "Screen of a: look again"), ("region", "Events"), ("heading", "Events"), ("list", "Events")]:
        assert wanted in found, f"{wanted} is not in {found}"
    needs_name = {"button", "link", "searchbox", "textbox", "image", "region", "heading", "menu", "menuitem", "dialog"}
    assert not [each for each in found if each[0] in needs_name and not each[1]], found

    page.click(menu(4))
    page.wait_for("#menu")
    found = tree(page)
    for wanted in [("menu", "Actions for Stick"), ("menuitem", "Detach from a"), ("menuitem", "Why is it here?"),
                   ("menuitem", "Move to b the rules let it only into a")]:
        assert wanted in found, f"{wanted} is not in {found}"
    expanded = page.one(menu(4)).get_attribute("aria-expanded")
    assert expanded == "true", expanded
    page.keys(Keys.ESCAPE)
    page.click("#stop-vm-a")
    page.wait_for("dialog")
    assert ("dialog", "Force VM a to stop?") in tree(page)
    page.keys(Keys.ESCAPE)


# Texts that can be seen and whose contrast is below 4.5, as WCAG 2 has it.
too_little_contrast = r"""
const parse = text => {
  const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
  return {r, g, b, a};
};
const over = (top, below) => {
  const mix = name => top[name] * top.a + below[name] * (1 - top.a);
  return {r: mix('r'), g: mix('g'), b: mix('b'), a: 1};
};
const background = element => {
  const own = parse(getComputedStyle(element).backgroundColor);
  const behind = element.parentElement && !element.matches('dialog, [popover]')
    ? () => background(element.parentElement) : () => ({r: 255, g: 255, b: 255, a: 1});
  return own.a === 1 ? own : over(own, behind());
};
const luminance = color => {
  const part = value => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  return 0.2126 * part(color.r) + 0.7152 * part(color.g) + 0.0722 * part(color.b);
};
const contrast = (one, other) => {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
};
const opacity = element => (element ? Number(getComputedStyle(element).opacity) * opacity(element.parentElement) : 1);
const found = [];
let looked_at = 0;
const look = (element, style, text) => {
  const back = background(element), color = parse(style.color);
  color.a *= opacity(element);
  const ratio = contrast(over(color, back), back);
  ++looked_at;
  if (ratio < 4.5) found.push(`${text.slice(0, 40)}: ${ratio.toFixed(2)}`);
};
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const element = texts.currentNode.parentElement, text = texts.currentNode.data.trim();
  if (text === '' || !element.checkVisibility({checkVisibilityCSS: true})) continue;
  look(element, getComputedStyle(element), text);
}
for (const field of document.querySelectorAll('input')) {
  look(field, getComputedStyle(field), 'a field');
  if (field.placeholder) look(field, getComputedStyle(field, '::placeholder'), field.placeholder);
}
return {found, looked_at};
"""


def check_contrast(page, when, least=11):
    result = page.run(too_little_contrast)
    assert result["looked_at"] >= least, f"{when}: there was nothing to look at"
    assert not result["found"], f"{when}: {result['found']}"


# Beside the one that is there.
every_badge = """
    const badge = document.querySelector('.badge');
    for (const state of ['unknown', 'prelaunch', 'running', 'paused', 'suspended', 'shutdown', 'crashed']) {
      const other = document.createElement('span');
      other.className = `every badge ${state}`;
      other.textContent = state;
      badge.after(other);
    }"""


def contrast(page):
    for port, name in ((1, "USB Receiver"), (2, "Webcam C270"), (3, "Serial Adapter"), (5, "Ultra Fit"),
                       (6, "YubiKey")):
        page.ask(f"plug {port} {name}")
    for theme in ("light", "dark"):
        page.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        page.open()
        page.wait_for(card(1, "desktop"))
        page.wait_for("#answer-usb-3-6-build")
        if page.all("#answer-usb-3-5-build"):
            page.click("#answer-usb-3-5-build")
        page.wait_for(card(5, "build"))
        page.ask("plug 7 Printer")
        page.wait_for_text(".log", "Printer was plugged in")
        page.ask("pull 7")
        page.wait_for_text(".log", "Printer was unplugged")
        page.wait("pictures", lambda: len(page.all(".screen img")) == 2)
        page.wait("nothing is going on", lambda: not page.all(".busy"))
        page.screenshot(f"page-{theme}")
        page.click("#others")
        background = page.run("return getComputedStyle(document.body).backgroundColor")
        check_contrast(page, theme)
        page.click(menu(5))
        page.wait_for("#menu")
        check_contrast(page, f"{theme}, with a menu")
        page.screenshot(f"menu-{theme}")
        item(page, "Why is it here?").click()
        page.wait_for("dialog pre")
        check_contrast(page, f"{theme}, with an explanation")
        page.click("#close")
        page.wait_until_gone("dialog")
        page.run(every_badge)
        check_contrast(page, f"{theme}, with a VM in each state")
        page.run("for (const each of document.querySelectorAll('.every')) each.remove()")
        page.click("#stop-vm-desktop")
        page.wait_for("dialog")
        check_contrast(page, f"{theme}, with a question")
        page.click("#cancel")
        page.wait_until_gone("dialog")
        drag_to(page, card(5, "build"), column("desktop"))
        check_contrast(page, f"{theme}, with a card in the air")
        page.screenshot(f"drag-{theme}")
        drop(page)
        page.ask("stop-service")
        page.wait_for(".banner")
        check_contrast(page, f"{theme}, without a connection")
        page.ask("start-service")
        if theme == "light":
            light = background
    assert background != light, "both themes are the same"


def phone(page):
    # Without smooth scrolling, which a click would not wait for.
    page.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": "reduce"}])
    page.command("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=2, mobile=True)
    page.open()
    page.ask("plug 4 Stick")
    page.ask("plug 6 Key")
    page.ask("plug 7 " + "Stick" * 12)
    page.wait_for(card(7, "a"))
    page.wait_for(".question")
    width = "return [document.documentElement.scrollWidth, window.visualViewport.width]"
    scrolled, shown = page.run(width)
    assert scrolled <= shown == 360, (scrolled, shown)
    page.screenshot("phone")
    wide = page.run("return [...document.querySelectorAll('.column, .question, .log, .card')]"
                    ".filter(each => each.offsetWidth > 360).map(each => each.id)")
    assert not wide, wide
    page.click(menu(4))
    page.wait_for("#menu")
    box = page.run("const {left, right, bottom} = document.getElementById('menu').getBoundingClientRect();"
                   "return [left, right, bottom]")
    assert box[0] >= 0 and box[1] <= 360 and box[2] <= 740, box
    page.screenshot("phone-menu")
    item(page, "Detach from a").click()
    page.wait_for(card(4))
    scrolled, shown = page.run(width)
    assert scrolled <= shown, (scrolled, shown)


def hostile_name(page):
    page.open()
    name = "Stick<img src=x onerror=window.harmed=1><script>window.harmed=1</script>&lt;b&gt;"
    page.ask("plug 4 " + name)
    page.wait_for(card(4, "a"))
    assert page.text(card(4, "a") + " h3") == name
    page.wait_for_text(".log", name)
    page.click(menu(4))
    item(page, "Why").click()
    page.wait_for_text("dialog", name)
    assert not page.all(".card img, .card script, .log img, dialog img, #announcement *")
    assert page.run("return window.harmed") is None


def explanation(page):
    page.open()
    page.ask("plug 4 Stick")
    page.wait_for(card(4, "a"))
    page.click(menu(4))
    item(page, "Why is it here?").click()
    page.wait_for_text("dialog h2", "Why is Stick here?")
    assert "Stick" in page.text("dialog pre") and "a" in page.text("dialog pre")
    page.keys(Keys.ESCAPE)
    page.wait_until_gone("dialog")
    assert page.focused() == "menu-usb-3-4"


def token(page):
    page.driver.get(page.url)
    page.wait_for_text("dialog", "asks for a token")
    for theme in ("light", "dark"):
        page.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        check_contrast(page, f"{theme}, with the question for a token", 8)
    assert page.text("#connection") == "Token needed"
    assert not page.all(".card")
    page.one("#token").send_keys("wrong-horse-battery", Keys.ENTER)
    page.wait_for_text("dialog", "does not know that token")
    page.one("#token").clear()
    page.one("#token").send_keys("p\u00e4sswort-und-mehr", Keys.ENTER)  # which no header can have
    page.wait_for_text("dialog", "neither blanks nor accents")
    page.keys(Keys.ESCAPE)
    page.wait_until_gone("dialog")
    page.click("#enter-token")
    page.wait_for("#token").send_keys("correct-horse-battery", Keys.ENTER)
    page.wait_for_text("#connection", "Live")
    page.wait_until_gone("dialog")
    page.ask("plug 4 Stick")
    page.wait_for(card(4, "a"))
    page.driver.refresh()  # and it is remembered
    page.wait_for_text("#connection", "Live")
    assert page.run("return localStorage.length") == 0


def behind(page):
    page.open()
    page.ask("plug 6 Key")
    page.click("#answer-usb-3-6-a")
    page.wait_for(card(6, "a"))
    page.wait("nothing is going on", lambda: not page.all(".busy"))
    # The request is on its way for as long as it takes somebody else to act.
    page.run("""
        const send = window.fetch;
        window.fetch = async (url, options) => {
          if (options.method === 'PUT') await new Promise(go => { window.go = go; });
          return send(url, options);
        };""")
    page.click(menu(6))
    item(page, "Move to b").click()
    page.wait("the request is held", lambda: page.run("return window.go !== undefined"))
    page.ask("detach 6")
    page.wait_for_text(card(6), "kept out by hand")
    page.run("window.go()")
    page.wait_for_text("[role=alert]", "has changed since you last read it")
    page.wait("nothing is going on", lambda: not page.all(".busy"))
    assert page.all(card(6))
    page.click(menu(6))
    item(page, "Attach to b").click()  # now that it is known
    page.wait("the request is held", lambda: page.run("return window.go !== undefined"))
    page.run("window.go()")
    page.wait_for(card(6, "b"))


def tabs(page):
    handles = []
    for number in range(8):
        if number > 0:
            page.driver.switch_to.new_window("tab")
        page.open()
        handles.append(page.driver.current_window_handle)
    page.ask("plug 4 Stick")
    page.wait_for(card(4, "a"))
    for handle in handles:
        page.driver.switch_to.window(handle)
        page.command("Page.bringToFront")
        page.wait_for_text("#connection", "Live")
        page.wait_for(card(4, "a"))
        page.click(menu(4))
        item(page, "Why is it here?").click()
        page.wait_for_text("dialog h2", "Why is Stick here?")
        page.click("#close")


def reset_and_keys(page):
    page.open()
    page.click("#send-key-vm-a")
    page.wait("it is sent", lambda: page.ask("commands send-key") == "1")
    page.wait("nothing is going on", lambda: not page.all(".busy"))
    page.click("#reset-vm-a")
    page.wait_for_text("dialog", "is lost")
    assert page.text("dialog h2") == "Reset VM a?"
    page.click("#cancel")
    page.wait_until_gone("dialog")
    page.click("#reset-vm-a")
    page.click("#confirm")
    page.wait("it is reset", lambda: page.ask("commands system_reset") == "1")
    page.wait_until_gone("dialog")
    assert ("button", "Press Ctrl+Alt+Del in a") in tree(page)
    assert not page.all("#reset-vm-c")  # which does not run


def some_rights(page):
    page.open()
    page.ask("plug 4 Stick")
    page.ask("plug 6 Key")
    page.wait_for(card(4, "a"))
    for button in page.all(".column .buttons button"):
        assert button.get_attribute("aria-disabled") == "true", button.text
        reason = page.text("#" + button.get_attribute("aria-describedby"))
        assert reason == "You may not control this VM or see its screen.", reason
    page.click("#pause-vm-a")
    page.click("#stop-vm-a")
    assert not page.all("dialog") and not page.all(".screen")
    answer = page.one("#answer-usb-3-6-b")
    assert "you may not move devices of VM b" in answer.text, answer.text
    answer.click()
    page.click("#answer-usb-3-6-a")
    page.wait_for(card(6, "a"))
    page.wait("nothing is going on", lambda: not page.all(".busy"))
    drag_to(page, card(6, "a"), column("b"))
    assert page.text(column("b") + " > .hint") == "Not here: you may not move devices of VM b"
    drop(page)
    assert page.all(card(6, "a"))
    page.click(menu(6))
    item(page, "Detach from a").click()
    page.wait_for(card(6))
    assert not page.all("[role=alert]")
    for theme in ("light", "dark"):
        page.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        check_contrast(page, f"{theme}, with few rights")


def one_vm(page):
    page.open()
    assert not page.all(column("a")) and page.all(column("b"))
    page.ask("plug 4 Stick")  # for another VM
    page.ask("plug 6 Key")
    page.wait_for("#answer-usb-3-6-b")
    assert not page.all("#device-usb-3-4")
    page.click("#answer-usb-3-6-b")
    page.wait_for(card(6, "b"))
    page.wait_for_text(".log", "Key is in VM b now")
    page.click(menu(6))
    why = item(page, "Why is it here?")
    assert why.get_attribute("aria-disabled") == "true" and "you may not see all of them" in why.text
    page.keys(Keys.ESCAPE)
    page.click("#pause-vm-b")
    page.wait("nothing is going on", lambda: not page.all(".busy"))
    assert not page.all("[role=alert]")


def hidden_vm(page):
    page.open()
    page.ask("plug 6 Key")
    page.wait_for("#answer-usb-3-6-b")
    page.ask("attach 6 a")
    page.wait_for_text(card(6), "it is in a VM that you may not see")
    page.click(menu(6))
    for name in ("Keep with the host", "Attach to b"):
        offered = item(page, name)
        assert offered.get_attribute("aria-disabled") == "true", offered.text
        assert "it is in a VM that you may not see" in offered.text, offered.text


def not_permitted(page):
    page.driver.get(page.url)
    page.wait_for_text("[role=alert]", "you may see nothing here")
    assert page.text("#connection") == "Connection lost"
    page.click("#dismiss")
    page.wait_until_gone("[role=alert]")
    page.run(count_requests)
    page.wait("it tries again", lambda: page.run("return window.requests") >= 2)
    assert not page.all("[role=alert]")  # it has been read


# From now on they are counted when they have been answered.
count_requests = """
    const send = window.fetch;
    window.requests = 0;
    window.fetch = async (...all) => {
      try {
        return await send(...all);
      } finally {
        setTimeout(() => ++window.requests);
      }
    };"""


def silent(page):
    # Half a second instead of the 25 that the page waits for a service that says nothing.
    page.command("Page.addScriptToEvaluateOnNewDocument", source="""
        const later = window.setTimeout;
        window.setTimeout = (work, time, ...all) => later(work, time === 25000 ? 500 : time, ...all);""")
    page.driver.get(page.url)
    page.wait_for_text("#connection", "Connection lost")
    page.wait_for_text("#connection", "Live")
    page.ask("plug 4 Stick")  # and so again and again
    page.wait_for(card(4, "a"))


def left_alone(page):
    page.open()
    page.wait_for(".screen img")
    for port in (4, 5):  # each of which takes the monitor for a moment
        page.ask(f"plug {port} Stick")
        page.wait_for(card(port, "a"))
    page.wait("the monitor is free", lambda: page.ask("link") == "yielded")
    assert page.ask("commands screendump") == "1"
    page.click("#screen-vm-a")  # by hand
    page.wait("another picture", lambda: page.ask("commands screendump") == "2")


def failed_picture(page):
    page.open()
    page.wait_for_text(".screen", "no picture")
    page.ask("works-again")
    page.wait_for(".screen img")


def gone(page):
    page.open()
    page.ask("plug 4 Stick")
    page.wait_for(card(4, "a"))
    page.wait_for(column("a") + " .screen img")
    picture = page.run("return document.querySelector('.screen img').src")
    page.click(menu(4))
    page.wait_for("#menu")
    page.ask("stop-service")
    page.wait_for_text("#connection", "Connection lost")
    page.ask("pull 4")
    page.ask("end a")
    page.ask("start-service")
    page.wait_for_text("#connection", "Live")
    page.wait_until_gone("#device-usb-3-4")
    page.ask("plug 4 Stick")  # another one at that place
    page.wait_for("#device-usb-3-4")
    assert not page.all("#menu")
    page.wait_until_gone(column("a") + " .screen")
    kept = page.run("""
        const image = new Image();
        image.src = arguments[0];
        return image.decode().then(() => true, () => false);""", picture)
    assert not kept, "the picture of a VM that has ended is still in memory"


def details(page):
    page.open()
    page.ask("plug 4 Stick")
    page.ask("plug 5 Lamp")
    page.ask("plug 7 Lamp")
    page.wait_for(card(4, "a"))
    page.wait_for_text("#others", "2 more, which no rule lets into a VM")
    hidden = "return document.getElementById('device-usb-3-5').checkVisibility()"
    assert not page.run(hidden)
    page.click("#others")
    assert page.run(hidden)
    page.one("#filter").send_keys("lamp 3-5")
    page.wait_until_gone("#device-usb-3-4")
    page.wait_until_gone("#device-usb-3-7")
    assert page.all("#device-usb-3-5")
    page.one("#filter").send_keys(Keys.CONTROL, "a", Keys.NULL, Keys.DELETE)
    page.wait_for(card(4, "a"))
    page.click("#shutdown-vm-a")
    page.wait("it is asked", lambda: page.ask("commands system_powerdown") == "1")


def docs(page):
    page.driver.get(page.url + "docs")
    page.wait_until_gone("#resources[aria-busy]")
    operations, types = page.run("""
        return fetch('openapi.json').then(answer => answer.json()).then(api => [
          Object.entries(api.paths).flatMap(([path, item]) =>
            ['get', 'put', 'post', 'delete'].filter(each => item[each]).map(each => each.toUpperCase() + path)),
          Object.keys(api.components.schemas)]);""")
    assert len(operations) > 20
    headings = [each.text.replace("\n", "").replace(" ", "") for each in page.all("#resources section h3")]
    assert headings == operations, (headings, operations)
    assert [each.text for each in page.all("#schemas section h3")] == types
    assert not page.run("return document.getElementById('problem').checkVisibility()")
    targets = {each.get_attribute("href").split("#")[1] for each in page.all("section a[href*='#']")}
    assert targets and targets <= {"type-" + each for each in types}, targets
    found = tree(page)
    for wanted in [("RootWebArea", "qemuctl: the REST API"), ("main", ""), ("heading", "The REST API"),
                   ("columnheader", "Status"), ("link", "openapi.json")]:
        assert wanted in found, f"{wanted} is not in {found}"
    assert not [each for each in found if each[0] in {"link", "heading", "region"} and not each[1]]
    for theme in ("light", "dark"):
        page.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])
        check_contrast(page, f"the documentation, {theme}")


def vm(page):
    page.open()
    assert page.text("#column-vm-real .badge") == "off"
    assert not page.all(".screen")
    page.click("#start-vm-real")
    page.wait_for_text("#column-vm-real .badge", "running")
    picture = page.wait("a picture", lambda: page.run(
        "const picture = document.querySelector('.screen img');"
        "return picture && picture.complete && [picture.naturalWidth, picture.naturalHeight]"))
    assert picture[0] >= 640 and picture[1] >= 400, picture
    page.click("#pause-vm-real")
    page.wait_for_text("#column-vm-real .badge", "paused")
    page.click("#resume-vm-real")
    page.wait_for_text("#column-vm-real .badge", "running")
    page.wait("nothing is going on", lambda: not page.all(".busy"))
    page.click("#stop-vm-real")
    page.wait_for_text("dialog", "is lost")
    page.click("#cancel")
    page.wait_until_gone("dialog")
    assert page.text("#column-vm-real .badge") == "running"
    page.click("#stop-vm-real")
    page.click("#confirm")
    page.wait_for_text("#column-vm-real .badge", "off")
    page.wait_until_gone(".screen")
    page.wait_for("#start-vm-real")


# The browser


@contextmanager
def browser(folder):
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        sys.exit(no_browser)
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "no-first-run",
                     "disable-background-networking", "hide-scrollbars", "disable-component-update",
                     "disable-extensions", "no-proxy-server", "window-size=1280,800", "lang=en-US", "user-data-dir=" + folder + "/profile"):
        options.add_argument("--" + argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    session = webdriver.Chrome(service=Service(driver), options=options)
    try:
        yield session
    finally:
        session.quit()


def check_console(driver, scenario):
    """What the browser itself complains about: scripts that fail, and what the policy of the page forbids."""
    lines = [line for line in driver.get_log("browser") if line["level"] == "SEVERE" and line["source"] != "network"]
    assert not lines, f"{scenario}: {lines}"


def main():
    scenario, url, folder, screenshots = sys.argv[1:]
    with browser(folder) as driver:
        page = Page(driver, url, screenshots)
        try:
            globals()[scenario](page)
            check_console(driver, scenario)
        except BaseException:
            page.screenshot("failed-" + scenario)
            for line in driver.get_log("browser"):
                print(line, file=sys.stderr)
            print(page.text("body"), file=sys.stderr)
            raise


main()
