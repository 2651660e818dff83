"""Draws fundus photographs of a diabetic retinopathy grade: no photograph of anybody, and no substitute for one.

The rules follow the International Clinical Diabetic Retinopathy scale (Wilkinson et al. 2003): 0 no lesion; 1 microaneurysms only;
2 more than these, but less than 3; 3 many haemorrhages in each quadrant; 4 new vessels or a preretinal haemorrhage. The same
seed and grade draw the same picture.
"""

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

SIDE = 160
# Drawn larger, then made smaller: smooth edges.
DETAIL = 2


class Fundus:
    def __init__(self, seed, side=SIDE):
        self.random = np.random.Generator(np.random.PCG64(seed))
        self.side, self.canvas = side, side * DETAIL
        self.radius = self.canvas * self.random.uniform(0.45, 0.485)
        self.centre = np.array([self.canvas / 2, self.canvas / 2]) + self.random.uniform(-0.01, 0.01, 2) * self.canvas
        self.left = bool(self.random.integers(0, 2))
        self.disc = self.centre + self.radius * np.array(
            [(-1 if self.left else 1) * self.random.uniform(0.42, 0.52), self.random.uniform(-0.08, 0.08)]
        )
        self.macula = self.centre + self.radius * self.random.uniform(-0.06, 0.06, 2)
        self.image = self.background()
        self.draw = ImageDraw.Draw(self.image)

    def background(self):
        """Orange, brighter in the middle, mottled, and of a pigment that differs between people."""
        # It is smooth: half of the size is enough, made larger.
        half = self.canvas // 2
        y, x = np.ogrid[0 : self.canvas : 2, 0 : self.canvas : 2]
        far = ((x - self.centre[0]) ** 2 + (y - self.centre[1]) ** 2) / self.radius**2
        near = ((x - self.macula[0]) ** 2 + (y - self.macula[1]) ** 2) / (0.16 * self.radius) ** 2
        coarse = Image.fromarray(self.random.integers(0, 256, (9, 9), dtype=np.uint8)).resize((half, half), Image.BICUBIC)
        mottle = np.asarray(coarse, dtype=np.float32) / 255.0 - 0.5
        base = np.array([self.random.uniform(175, 215), self.random.uniform(80, 110), self.random.uniform(30, 55)])
        light = (1.05 - 0.28 * far + 0.10 * mottle) * (1 - 0.30 * np.exp(-near))
        smooth = np.clip(base * light[..., None], 0, 255).astype(np.uint8)
        return Image.fromarray(smooth).resize((self.canvas, self.canvas), Image.BILINEAR)

    def spot(self, at, radius, colour, stretch=1.0):
        x, y = at
        self.draw.ellipse([x - radius * stretch, y - radius, x + radius * stretch, y + radius], fill=colour)

    def optic_disc(self):
        r = self.radius * self.random.uniform(0.14, 0.17)
        self.spot(self.disc, r, (245, 200, 120), self.random.uniform(0.85, 1.0))
        self.spot(self.disc + self.random.uniform(-0.1, 0.1, 2) * r, 0.45 * r, (255, 228, 165))

    def vessel(self, start, heading, length, width, colour):
        """A curve that gets thinner and branches now and then."""
        bend = self.random.uniform(-0.03, 0.03)
        at, step = np.array(start, dtype=float), self.radius * 0.03
        for index in range(int(length)):
            to = at + step * np.array([np.cos(heading), np.sin(heading)])
            self.draw.line([*at, *to], fill=colour, width=max(1, round(width)))
            at, heading, width = to, heading + bend + self.random.normal(0, 0.06), width * 0.975
            if index > 4 and width > 1.6 and self.random.random() < 0.07:
                turn = self.random.choice([-1, 1]) * self.random.uniform(0.4, 0.9)
                self.vessel(at, heading + turn, length * 0.45, width * 0.6, colour)

    def vessels(self):
        inwards = 0.0 if self.left else np.pi
        for vertical in (-1, 1):
            for spread, thick in ((0.95, 5.0), (1.25, 4.0), (2.1, 3.0)):
                heading = inwards + vertical * (spread if self.left else -spread) + self.random.normal(0, 0.08)
                colour = (int(self.random.integers(110, 135)), int(self.random.integers(28, 42)), 22)
                self.vessel(self.disc, heading, self.random.integers(34, 46), thick * self.canvas / 480, colour)

    def place(self, quadrant=None):
        """Somewhere on the retina, not on the disc; `quadrant` 0 to 3 or any."""
        while True:
            angle = self.random.uniform(0, 2 * np.pi) if quadrant is None else (quadrant + self.random.random()) * np.pi / 2
            at = self.centre + self.radius * np.sqrt(self.random.uniform(0.02, 0.72)) * np.array([np.cos(angle), np.sin(angle)])
            if np.hypot(*(at - self.disc)) > 0.25 * self.radius:
                return at

    def microaneurysms(self, count):
        for _ in range(count):
            # Some are so small and pale that they can hardly be seen, as on photographs.
            pale = self.random.uniform(0, 0.45)
            at = self.place()
            around = np.array(self.image.getpixel(tuple(int(value) for value in at)))
            colour = tuple(int(value) for value in (1 - pale) * np.array((105, 14, 12)) + pale * around)
            self.spot(at, self.radius * self.random.uniform(0.014, 0.024), colour)

    def haemorrhage(self, quadrant=None):
        at, r = self.place(quadrant), self.radius * self.random.uniform(0.030, 0.060)
        for _ in range(4):
            self.spot(at + self.random.normal(0, 0.4, 2) * r, r * self.random.uniform(0.6, 1.0), (92, 10, 10))

    def exudates(self, clusters):
        for _ in range(clusters):
            at = self.place()
            for _ in range(int(self.random.integers(3, 8))):
                spot = at + self.random.normal(0, 0.06, 2) * self.radius
                self.spot(spot, self.radius * self.random.uniform(0.012, 0.026), (250, 232, 130))

    def new_vessels(self):
        """A tangle of fine loops, at the disc or elsewhere."""
        at = self.disc if self.random.random() < 0.6 else self.place()
        for _ in range(int(self.random.integers(5, 24))):
            points = [tuple(at + self.random.normal(0, 0.115, 2) * self.radius) for _ in range(4)]
            self.draw.line(points, fill=(140, 14, 18), width=DETAIL, joint="curve")

    def preretinal_haemorrhage(self):
        """Boat-shaped: a level upper edge."""
        x, y = self.place(int(self.random.integers(0, 2)))
        r = self.radius * self.random.uniform(0.10, 0.30)
        self.draw.pieslice([x - r, y - r * 0.8, x + r, y + r * 0.8], 0, 180, fill=(88, 6, 8))

    def lesions(self, grade):
        if grade == 1:
            self.microaneurysms(int(self.random.integers(2, 11)))
        elif grade == 2:
            self.microaneurysms(int(self.random.integers(2, 14)))
            for _ in range(int(self.random.integers(1, 13))):
                self.haemorrhage()
            self.exudates(int(self.random.integers(0, 4)))
        elif grade >= 3:
            self.microaneurysms(int(self.random.integers(4, 16)))
            # Of grade 4 some have few haemorrhages: new vessels decide.
            for quadrant in range(4):
                for _ in range(int(self.random.integers(4, 9)) if grade == 3 else int(self.random.integers(0, 5))):
                    self.haemorrhage(quadrant)
            self.exudates(int(self.random.integers(0, 4)))
        if grade == 4:
            kind = self.random.random()
            if kind < 0.7:
                self.new_vessels()
            if kind > 0.4:
                self.preretinal_haemorrhage()

    def finish(self):
        """Cut to the round field of view, as a camera does; noise of its sensor."""
        mask = Image.new("L", self.image.size, 0)
        x, y = self.centre
        r = self.radius
        ImageDraw.Draw(mask).ellipse([x - r, y - r, x + r, y + r], fill=255)
        picture = Image.composite(self.image, Image.new("RGB", self.image.size), mask)
        # The focus of cameras and eyes differs.
        focus = ImageFilter.GaussianBlur(self.random.uniform(0, 0.55) * DETAIL * self.side / SIDE)
        picture = picture.filter(focus).resize((self.side, self.side), Image.BOX)
        seen = np.asarray(mask.resize((self.side, self.side), Image.BOX), dtype=float)[..., None] / 255.0
        noise = self.random.normal(0, 2.0, (self.side, self.side, 3)) * seen
        return Image.fromarray(np.clip(np.asarray(picture) + noise, 0, 255).astype(np.uint8))


def fundus(grade, seed, side=SIDE):
    """A photograph of an eye of `grade`, 0 to 4."""
    eye = Fundus(seed * 5 + grade, side)
    eye.optic_disc()
    eye.vessels()
    eye.lesions(grade)
    return eye.finish()


def ungradable(kind, seed, side=SIDE):
    """A photograph that no grade can be read from: `blurred`, `dark`, `overexposed`, `half` lit, or `no_retina`."""
    if kind == "no_retina":
        random = np.random.Generator(np.random.PCG64(seed))
        return Image.fromarray(random.integers(0, 5, (side, side, 3), dtype=np.uint8))
    picture = fundus(0, seed, side)
    if kind == "blurred":
        return picture.filter(ImageFilter.GaussianBlur(side / 22))
    if kind == "dark":
        return picture.point(lambda value: value * 0.16)
    if kind == "overexposed":
        return ImageChops.multiply(picture.point(lambda value: min(255, value * 4)), Image.new("RGB", picture.size, (255, 255, 255)))
    if kind == "half":
        ramp = np.clip(np.linspace(1.25, -0.55, side), 0.11, 1.0)[None, :, None]
        return Image.fromarray((np.asarray(picture) * ramp).astype(np.uint8))
    raise ValueError(kind)


UNGRADABLE = ("blurred", "dark", "overexposed", "half", "no_retina")
